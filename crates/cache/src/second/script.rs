//! The programs that run inside Redis (7.0 or later, not a cluster), each atomic, and what they keep there.
//!
//! ```text
//! NAMESPACE:1:e:KEY      hash: all about one key of this cache
//!     v                  the request fields that its answers vary on, `accept,x`; there once an answer is stored
//!     bDIGEST            a stored answer (form.rs); DIGEST stands for a selection under these fields
//!     mDIGEST            of it: number, time of writing, how long it is fresh, groups
//!     lDIGEST            a lease: who fetches it, number, until when; or that what comes is for nobody else
//! NAMESPACE:1:g:GROUP    the number of a group's last invalidation (`all`: of everything's)
//! NAMESPACE:1:n          the number of the last invalidation of anything: whole, below 2⁵³
//! NAMESPACE:1:i          stream: invalidations, each with its number; the last ones
//! ```
//!
//! **No old answer comes back.** Invalidations are numbered. A lease bears the number at which its fetch began. An
//! invalidation of the key removes the lease along with the answers; an invalidation of a group, of which nobody knows
//! before the answer is there, raises the group's number above the lease's. Only who has the lease still, and with it
//! a number not below those of all its answer's groups, stores; and an answer is given only while that stays so.
//!
//! **What Redis forgets is a miss.** It may evict any of these keys. A lease that is gone stores nothing. A group
//! without a number holds nothing valid, and gets one only when nothing at all was invalidated since the lease. A missing last
//! number is made anew from the clock, in microseconds, so that it is higher than any before; caches see a gap and
//! trust their memories no longer.
//!
//! **Numbers never fall.** Whoever asks says the highest one that he has seen. Where the last number is lower, Redis is back
//! at an older state (restarted from a snapshot, failed over): the next invalidation takes it above that, and drops
//! everything, as nobody knows what was invalidated since. What bears a number from the future is not valid.
//!
//! Times are Redis's own: caches need not agree on the time.

/// A live lease's length in milliseconds, by which others wait too long for a cache that was killed; renewed three
/// times as often.
pub(crate) const LEASE_MS: u64 = 1_200;

/// Invalidations that the stream remembers at least.
const REMEMBERED: usize = 10_000;

/// What the others begin with.
const COMMON: &str = r"
local function now_ms() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function whole(n) return string.format('%.0f', n) end
-- What is no number of ours, or of a kind that is not ours, holds nothing.
local function get(k)
    local r = redis.pcall('GET', k)
    if type(r) == 'table' then redis.call('UNLINK', k) return nil end
    local n = r and string.match(r, '^%d+$') and tonumber(r)
    if n and n < 9e15 then return n end
end
local function ours(k) local kind = redis.call('TYPE', k).ok if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', k) end end
local function keep(k, ms) local p = redis.call('PTTL', k) if p < ms then redis.pcall('PEXPIRE', k, whole(ms)) end end
-- Made anew where it is missing: from the clock, and above what was seen.
local function number(k, seen)
    local n = get(k)
    if n then return n end
    local t = redis.call('TIME')
    n = math.max(t[1] * 1000000 + t[2], tonumber(seen) + 1)
    if redis.pcall('SET', k, whole(n)).err then return nil end
    return n
end
local function lease(e, d)
    local token, n, till = string.match(redis.call('HGET', e, 'l' .. d) or '', '^(%S+) (%d+) (%d+)$')
    if token and tonumber(till) > now_ms() then return token, tonumber(n) end
end
";

/// Looks for an answer and, where there is none that is fresh, for the right to fetch it.
///
/// `KEYS` e, n; `ARGV` 1 names and 2 digest of the selection (of no name: empty), 3 start of groups' keys,
/// 4 `1`: what is stored does not count, 5 token of the lease that is wanted, or empty, and 6 its milliseconds, 7 the highest
/// number seen. Returns number, `vary` and the right names; or number, lease (`own`, `held`, `alone`, `none`), and, where there is
/// an answer, its form and the milliseconds since it was written.
const LOOK: &str = r"
local e, d, now = KEYS[1], ARGV[2], now_ms()
ours(e)
-- Leases of selections that nobody will ask for again must not pile up.
if redis.call('HLEN', e) > 100 then redis.call('UNLINK', e) end
local n = number(KEYS[2], ARGV[7])
local names = redis.call('HGET', e, 'v')
if names and names ~= ARGV[1] then return {n or 0, 'vary', names} end
local form, since, fresh
if names and ARGV[4] ~= '1' then
    local m = redis.call('HGET', e, 'm' .. d) or ''
    local at, written, lasts, groups = string.match(m, '^(%d+) (%d+) (%d+) (.+)$')
    if at then
        local valid = tonumber(written) <= now and n and tonumber(at) <= n
        for group in string.gmatch(groups, '%S+') do
            local last = get(ARGV[3] .. group)
            if not last or last > tonumber(at) then valid = false end
        end
        if valid then
            form = redis.call('HGET', e, 'b' .. d)
            since = now - tonumber(written)
            fresh = since < tonumber(lasts)
        end
    end
end
local has = 'none'
if not fresh then
    local holder = lease(e, d)
    if holder == 'alone' then has = 'alone'
    elseif holder and holder ~= ARGV[5] then has = 'held'
    elseif ARGV[5] ~= '' and n then
        local text = ARGV[5] .. ' ' .. whole(n) .. ' ' .. whole(now + tonumber(ARGV[6]))
        local set = redis.pcall('HSET', e, 'l' .. d, text)
        if type(set) ~= 'table' then keep(e, tonumber(ARGV[6]) * 2) has = 'own' end
    end
end
if form then return {n or 0, has, form, since} end
return {n or 0, has}
";

/// Stores an answer, if its lease says that it may.
///
/// `KEYS` e, n; `ARGV` 1 token, 2 digest that the lease is under, 3 names and 4 digest of the selection, 5 form, 6 milliseconds for
/// which it is fresh and 7 for which it is kept, 8 start of groups' keys, 9 on: groups.
/// Returns 1 if it did.
const STORE: &str = r"
local e, d = KEYS[1], ARGV[4]
ours(e)
local token, at = lease(e, ARGV[2])
if token ~= ARGV[1] then return 0 end
local n, refused = get(KEYS[2]), false
for i = 9, #ARGV do
    local g = ARGV[8] .. ARGV[i]
    local last = get(g)
    if not last then
        if n ~= at then refused = true end
        if n then redis.call('SET', g, whole(n)) end
    elseif last > at then refused = true end
    keep(g, tonumber(ARGV[7]))
end
redis.call('HDEL', e, 'l' .. ARGV[2])
if refused or not n then return 0 end
if (redis.call('HGET', e, 'v') or ARGV[3]) ~= ARGV[3] or redis.call('HLEN', e) > 100 then redis.call('UNLINK', e) end
local m = whole(at) .. ' ' .. whole(now_ms()) .. ' ' .. ARGV[6] .. ' ' .. table.concat(ARGV, ' ', 9)
redis.call('HSET', e, 'v', ARGV[3], 'b' .. d, ARGV[5], 'm' .. d, m)
keep(e, tonumber(ARGV[7]))
return 1
";

/// Lets go of a lease, or keeps it for longer.
///
/// `KEYS` e; `ARGV` 1 token, 2 digest, 3 `free`, `renew`, or `alone` (for so long, others need not wait), 4 milliseconds.
const LEAVE: &str = r"
local e, d, how = KEYS[1], ARGV[2], ARGV[3]
ours(e)
local token, at = lease(e, d)
if token ~= ARGV[1] then return 0 end
if how == 'free' then return redis.call('HDEL', e, 'l' .. d) end
local who = how == 'renew' and token or 'alone'
redis.call('HSET', e, 'l' .. d, who .. ' ' .. whole(at) .. ' ' .. whole(now_ms() + tonumber(ARGV[4])))
keep(e, tonumber(ARGV[4]) * 2)
return 1
";

/// Drops answers, and tells every cache. Works without memory to spare, too.
///
/// `KEYS` n, i, then those of the keys; `ARGV` 1 who tells, 2 the message, 3 milliseconds for which groups' numbers are kept,
/// 4 the highest number seen, 5 the key of the group of everything, then those of groups. Returns the number.
const INVALIDATE: &str = r"
local last, seen = get(KEYS[1]), tonumber(ARGV[4])
local n
if last then n = math.max(last, seen) + 1 redis.call('SET', KEYS[1], whole(n)) else n = number(KEYS[1], ARGV[4]) end
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
for i = 6, #ARGV do redis.call('SET', ARGV[i], whole(n), 'PX', ARGV[3]) end
if last and last < seen then redis.call('SET', ARGV[5], whole(n), 'PX', ARGV[3]) end
local function tell() return redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', 'REMEMBERED', '*', 'n', whole(n), 'by', ARGV[1], 'm', ARGV[2]) end
local told = tell()
if type(told) == 'table' and told.err then redis.call('UNLINK', KEYS[2]) tell() end
return n
";

/// What was invalidated after a place in the stream.
///
/// `KEYS` n, i; `ARGV` 1 the place, or empty for its end, 2 the highest number seen. Returns number, place, and the invalidations: a list of lists of `n`, `by`, `m`.
const SINCE: &str = r"
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'stream' and kind ~= 'none' then redis.call('UNLINK', KEYS[2]) end
local n, place, found = number(KEYS[1], ARGV[2]), ARGV[1], {}
if place == '' then
    place = '0-0'
    local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
    if last[1] then place = last[1][1] end
else
    for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. place, '+', 'COUNT', 1000)) do
        place = entry[1]
        found[#found + 1] = entry[2]
    end
end
return {n or 0, place, found}
";

/// The programs of one process.
pub(crate) struct Scripts {
    pub(crate) look: redis::Script,
    pub(crate) store: redis::Script,
    pub(crate) leave: redis::Script,
    pub(crate) invalidate: redis::Script,
    pub(crate) since: redis::Script,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        let plain = |code: &str| redis::Script::new(&format!("{COMMON}{code}"));
        // Dropping must not fail for want of memory, or what is wrong would stay.
        let anyway = |code: &str| redis::Script::new(&format!("#!lua flags=allow-oom\n{COMMON}{code}"));
        Scripts {
            look: plain(LOOK),
            store: plain(STORE),
            leave: plain(LEAVE),
            invalidate: anyway(&INVALIDATE.replace("REMEMBERED", &REMEMBERED.to_string())),
            since: plain(SINCE),
        }
    }
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripts")
    }
}
