//! Whose trace context and forwarded headers are believed.
use std::net::{IpAddr, SocketAddr};
/// The address a connection came from; the HTTP server puts it into every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);
/// `none`, `loopback`, `private` (loopback included), `all`, or a list of CIDR blocks (`10.0.0.0/8,fd00::/8`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeers(());
impl TrustedPeers {
    /// Believes nobody.
    pub fn none() -> Self {
        TrustedPeers(())
    }
    /// Whether what `peer` says is believed. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn trusts(&self, _peer: IpAddr) -> bool {
        todo!()
    }
}
impl std::str::FromStr for TrustedPeers {
    type Err = String;
    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
