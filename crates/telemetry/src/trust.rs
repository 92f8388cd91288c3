//! Whose trace context and forwarded headers are believed.
//!
//! Promises: a peer is judged by its address alone, and an address that no block names is not believed.
//! `private` means RFC 1918, unique local (RFC 4193), link-local and loopback addresses. The shared space of RFC 6598
//! (100.64.0.0/10) is not private: strangers of one provider share it; who runs a network there names the block.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net};

const ACCEPTED: &str =
    "`none`, `loopback`, `private`, `all` or a list of CIDR blocks such as `10.0.0.0/8,fd00::/8`";
const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
const PRIVATE: &[&str] = &[
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];
const ALL: &[&str] = &["0.0.0.0/0", "::/0"];

/// The address a connection came from; the HTTP server puts it into every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// `none`, `loopback`, `private` (loopback included), `all`, or a list of CIDR blocks (`10.0.0.0/8,fd00::/8`).
/// A list may also hold single addresses and the words `loopback` and `private`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeers {
    blocks: Arc<[IpNet]>,
    /// As it was given, for help texts and for what a service says of itself.
    text: Arc<str>,
}

impl TrustedPeers {
    /// Believes nobody.
    pub fn none() -> Self {
        TrustedPeers { blocks: Arc::new([]), text: "none".into() }
    }

    /// Whether what `peer` says is believed. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.blocks.iter().any(|block| block.contains(&peer))
    }
}

impl FromStr for TrustedPeers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "none" {
            return Ok(TrustedPeers::none());
        }
        let mut blocks = Vec::new();
        for word in text.split(',').map(str::trim) {
            match word {
                "loopback" => blocks.extend(LOOPBACK.iter().filter_map(|block| block_of(block))),
                "private" => blocks.extend(PRIVATE.iter().filter_map(|block| block_of(block))),
                "all" => blocks.extend(ALL.iter().filter_map(|block| block_of(block))),
                _ => blocks.push(
                    block_of(word).ok_or_else(|| format!("`{word}` is not a peer: expected {ACCEPTED}"))?,
                ),
            }
        }
        Ok(TrustedPeers { blocks: blocks.into(), text: text.into() })
    }
}

impl fmt::Display for TrustedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A block or a single address. A block of IPv4-mapped addresses is the IPv4 block, since peers are compared in that form.
fn block_of(word: &str) -> Option<IpNet> {
    let block = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from))?;
    match block {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(block),
        },
        _ => Some(block),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusts(policy: &str, peer: &str) -> bool {
        let policy: TrustedPeers = policy.parse().unwrap();
        policy.trusts(peer.parse().unwrap())
    }

    #[test]
    fn each_word_believes_what_it_names_and_no_more() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("none", &[], &["127.0.0.1", "::1", "10.0.0.1"]),
            (
                "loopback",
                &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
                &["10.0.0.1", "::2", "128.0.0.1"],
            ),
            (
                "private",
                &[
                    "127.0.0.1",
                    "::1",
                    "10.255.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "169.254.7.7",
                    "fd12::1",
                    "fe80::1",
                    "::ffff:10.1.2.3",
                ],
                &[
                    "172.32.0.1",
                    "172.15.255.255",
                    "100.64.0.1",
                    "8.8.8.8",
                    "2001:db8::1",
                    "fec0::1",
                    "::ffff:8.8.8.8",
                ],
            ),
            ("all", &["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"], &[]),
            (
                "10.0.0.0/8,fd00::/8",
                &["10.3.2.1", "fd00::1", "::ffff:10.3.2.1"],
                &["11.0.0.1", "fc00::1", "127.0.0.1"],
            ),
            ("loopback, 192.0.2.7", &["127.0.0.1", "192.0.2.7"], &["192.0.2.8"]),
            ("::ffff:10.0.0.0/104", &["10.3.2.1", "::ffff:10.3.2.1"], &["11.0.0.1"]),
            ("10.1.2.3/8", &["10.9.9.9"], &["11.0.0.1"]),
        ];
        for (policy, believed, strangers) in table {
            for peer in *believed {
                assert!(trusts(policy, peer), "{policy} believes {peer}");
            }
            for peer in *strangers {
                assert!(!trusts(policy, peer), "{policy} does not believe {peer}");
            }
        }
    }

    #[test]
    fn a_bad_word_is_named_with_the_accepted_form() {
        for text in ["", "None", "10.0.0.0/33", "private;all", "10.0.0.0/8,", "localhost", "none,loopback"] {
            let error = text.parse::<TrustedPeers>().unwrap_err();
            assert!(
                error.contains("is not a peer: expected `none`, `loopback`, `private`, `all`"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_policy_is_shown_as_it_was_given() {
        for text in ["none", "loopback", "private", "all", "10.0.0.0/8,fd00::/8"] {
            assert_eq!(text.parse::<TrustedPeers>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn no_constant_block_is_lost_to_a_typing_error() {
        for block in LOOPBACK.iter().chain(PRIVATE).chain(ALL) {
            assert!(block_of(block).is_some(), "{block}");
        }
    }

    proptest! {
        #[test]
        fn a_mapped_address_counts_as_its_own(address: u32, policy in "(loopback|private|all|10\\.0\\.0\\.0/8)") {
            let v4 = std::net::Ipv4Addr::from(address);
            let policy: TrustedPeers = policy.parse().unwrap();
            prop_assert_eq!(policy.trusts(v4.into()), policy.trusts(v4.to_ipv6_mapped().into()));
        }

        #[test]
        fn no_text_panics(text in ".{0,64}") {
            let _ = text.parse::<TrustedPeers>();
        }
    }
}
