//! The name under which this process signs requests in `Via` (RFC 9110 §7.6.3), and by which it knows them again: a
//! request that has been here before goes in circles.

use http::{HeaderMap, HeaderValue, Version, header};

/// This process's name in `Via`: the program's and a part of its own.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonym {
    name: String,
    /// The whole entry, for the usual version.
    entry: HeaderValue,
}

impl Pseudonym {
    /// `id` is to differ between processes.
    pub(crate) fn of(id: u64) -> Pseudonym {
        let name = format!("throughline-{id:016x}");
        let entry = entry("1.1", &name);
        Pseudonym { name, entry }
    }

    /// Whether this process has signed a request.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::VIA).iter().any(|via| {
            let mut words = via.as_bytes().split(|byte| matches!(byte, b' ' | b'\t' | b','));
            words.any(|word| word.eq_ignore_ascii_case(self.name.as_bytes()))
        })
    }

    /// Signs a request that was received in `version`.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap, version: Version) {
        let entry = if version == Version::HTTP_10 { entry("1.0", &self.name) } else { self.entry.clone() };
        headers.append(header::VIA, entry);
    }
}

fn entry(version: &str, name: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{version} {name}"))
        .expect("a version and hexadecimal digits are visible text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_name_among_others() {
        let own = Pseudonym::of(7);
        let check = |vias: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            for via in vias {
                headers.append(header::VIA, HeaderValue::from_static(via));
            }
            assert_eq!(own.is_in(&headers), expected, "{vias:?}");
        };
        check(&[], false);
        check(&["1.1 throughline-0000000000000008"], false);
        check(&["1.1 throughline-0000000000000007"], true);
        check(&["1.0 a, 1.1 Throughline-0000000000000007 (x),1.1 b"], true);
        check(&["1.1 a", "HTTP/1.1 throughline-0000000000000007"], true);
        check(&["1.1 xthroughline-0000000000000007"], false);
    }

    #[test]
    fn the_received_version_is_told() {
        let mut headers = HeaderMap::new();
        Pseudonym::of(7).stamp(&mut headers, Version::HTTP_10);
        Pseudonym::of(8).stamp(&mut headers, Version::HTTP_11);
        let vias: Vec<_> = headers.get_all(header::VIA).iter().collect();
        assert_eq!(vias, ["1.0 throughline-0000000000000007", "1.1 throughline-0000000000000008"]);
    }
}
