-- The targets that wrk asks the cache for, and one line of result at the end: `REQUESTS SECONDS P99_MILLISECONDS FAILED`.
--
--   wrk -s cache.lua URL -- DIRECTORY KNOWN EVERY NEW [STOP]
--
-- Each EVERYth request (0: none) is for a target that nobody has asked for, DIRECTORY/NEW-1, -2, …; the others are for
-- DIRECTORY/known-0 to KNOWN-1 in turn. With STOP it ends after so many answers, and measures no times.

local before, after, directory, known, every, new
local sent = 0

function init(args)
   directory, known, every, new = args[1], tonumber(args[2]), tonumber(args[3]), args[4]
   before, after = wrk.format("GET", "\1"):match("^(.*)\1(.*)$")
   local stop, answered, failed = tonumber(args[5]), 0, 0
   if not stop then return end
   -- wrk cannot be told to end early: its threads would stop, and it would wait all the same.
   function response(status)
      answered = answered + 1
      if status ~= 200 then failed = failed + 1 end
      if answered == stop then
         io.write(string.format("%d 0 0 %d\n", answered, failed))
         os.exit(0)
      end
   end
end

-- wrk calls it once without sending what it returns.
function request()
   sent = sent + 1
   local name
   if every > 0 and sent % every == 0 then
      name = new .. "-" .. sent
   else
      name = "known-" .. sent % known
   end
   return before .. directory .. name .. after
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format("%d %.3f %.3f %d\n", summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3, failed))
end
