//! The addresses that requests may reach. A client chooses the URL of a run, and must not reach with it what only the worker's
//! machine and network can reach. So a request reaches only addresses of the public internet, and those that the owner of the
//! worker allows.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses, such as `10.0.0.0/8`, `127.0.0.1` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// All addresses of this machine itself.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Whether the address is in the range. An IPv4-mapped IPv6 address is the same as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => is_in_v4(address, network, self.prefix),
            (IpAddr::V6(network), IpAddr::V6(address)) => is_in_v6(address, network, self.prefix),
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    /// The range of this one address.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected an address or a range such as 10.0.0.0/8 or fd00::/8, got `{text}`");
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(format!("expected an IPv4 range to be written as one, got `{text}`"));
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `parse` also takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
            None => bits,
        };
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(prefix))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(prefix))),
        };
        // 10.1.2.3/8 is probably a mistake: the range is larger than it looks.
        if first != address {
            return Err(format!("expected the first address of the range, {first}/{prefix}, got `{text}`"));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The sort of an address that is neither public nor allowed; `None` for an address that may be reached.
pub(super) fn forbidden(address: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    if allowed.iter().any(|network| network.contains(address)) { None } else { special(address) }
}

/// The IPv4 ranges that are not part of the public internet (IANA's special-purpose registry), and their sorts.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // Clouds serve credentials here.
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    // A public number, but the host of a virtual machine in Azure answers it.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud platform"),
];

/// The same for IPv6. The first match counts. An address outside 2000::/3 is never public.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 13] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96, "IPv4-compatible"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "local NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard-only"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// A translator turns the last 32 bits of these into an IPv4 address.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4.iter().find(|(network, prefix, _)| is_in_v4(address, *network, *prefix)).map(|(.., what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if is_in_v6(address, NAT64.0, NAT64.1) {
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    let special = SPECIAL_V6.iter().find(|(network, prefix, _)| is_in_v6(address, *network, *prefix));
    match special {
        Some((.., what)) => Some(what),
        None if is_in_v6(address, PUBLIC_V6.0, PUBLIC_V6.1) => None,
        None => Some("not global"),
    }
}

fn is_in_v4(address: Ipv4Addr, network: Ipv4Addr, prefix: u8) -> bool {
    (address.to_bits() ^ network.to_bits()) & mask_v4(prefix) == 0
}

fn is_in_v6(address: Ipv6Addr, network: Ipv6Addr, prefix: u8) -> bool {
    (address.to_bits() ^ network.to_bits()) & mask_v6(prefix) == 0
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn what(address: &str) -> Option<&'static str> {
        forbidden(address.parse().unwrap(), &[])
    }

    /// Of each range: its sort, the last address before it, its first, its last, and the first address after it; `-` if that is
    /// in another range.
    const EDGES: &str = "
        unspecified             -                 0.0.0.0          0.255.255.255    1.0.0.0
        private                 9.255.255.255     10.0.0.0         10.255.255.255   11.0.0.0
        carrier-grade_NAT       100.63.255.255    100.64.0.0       100.127.255.255  100.128.0.0
        loopback                126.255.255.255   127.0.0.0        127.255.255.255  128.0.0.0
        link-local              169.253.255.255   169.254.0.0      169.254.255.255  169.255.0.0
        private                 172.15.255.255    172.16.0.0       172.31.255.255   172.32.0.0
        reserved_for_protocols  191.255.255.255   192.0.0.0        192.0.0.255      192.0.1.0
        documentation           192.0.1.255       192.0.2.0        192.0.2.255      192.0.3.0
        6to4_relay              192.88.98.255     192.88.99.0      192.88.99.255    192.88.100.0
        private                 192.167.255.255   192.168.0.0      192.168.255.255  192.169.0.0
        benchmarking            198.17.255.255    198.18.0.0       198.19.255.255   198.20.0.0
        documentation           198.51.99.255     198.51.100.0     198.51.100.255   198.51.101.0
        documentation           203.0.112.255     203.0.113.0      203.0.113.255    203.0.114.0
        multicast               223.255.255.255   224.0.0.0        239.255.255.255  -
        reserved                -                 240.0.0.0        255.255.255.255  -
        cloud_platform          168.63.129.15     168.63.129.16    168.63.129.16    168.63.129.17
        unspecified             -                 ::               ::               -
        loopback                -                 ::1              ::1              -
        IPv4-compatible         -                 ::2              ::ffff:ffff      -
        loopback                ::ffff:126.255.255.255  ::ffff:127.0.0.0  ::ffff:127.255.255.255  ::ffff:128.0.0.0
        link-local              ::ffff:169.253.255.255  ::ffff:a9fe:0     ::ffff:a9fe:ffff        ::ffff:169.255.0.0
        private                 64:ff9b::9.255.255.255  64:ff9b::10.0.0.0 64:ff9b::10.255.255.255 64:ff9b::11.0.0.0
        loopback                64:ff9b::7eff:ffff      64:ff9b::7f00:1   64:ff9b::7fff:ffff      64:ff9b::8000:0
        local_NAT64             -                 64:ff9b:1::      64:ff9b:1:ffff:ffff:ffff:ffff:ffff  -
        discard-only            -                 100::            100::ffff:ffff:ffff:ffff            -
        not_global              -                 64:ff9b:0:1::    64:ff9b:0:ffff:ffff:ffff:ffff:ffff  -
        not_global              -                 ::ffff:0:7f00:1  ::ffff:0:ffff:ffff                  -
        not_global              -                 200::            1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  2000::
        Teredo                  2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff  2001::  2001:0:ffff:ffff:ffff:ffff:ffff:ffff  -
        reserved_for_protocols  -                 2001:1::         2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff   2001:200::
        documentation           2001:db7:ffff:ffff:ffff:ffff:ffff:ffff   2001:db8::  2001:db8:ffff:ffff:ffff:ffff:ffff:ffff  2001:db9::
        6to4                    2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff  2002::  2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff  2003::
        documentation           3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff  3fff::  3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff   3fff:1000::
        not_global              3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  4000::  fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
        private                 -                 fc00::           fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
        not_global              -                 fe00::           fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
        link-local              -                 fe80::           febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
        not_global              -                 fec0::           feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
        multicast               -                 ff00::           ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff  -
    ";

    #[test]
    fn every_range_is_forbidden_from_its_first_address_to_its_last_and_no_further() {
        for line in EDGES.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [name, before, first, last, after] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("five words, not {line}")
            };
            for inside in [first, last] {
                assert_eq!(what(inside), Some(name.replace('_', " ").as_str()), "{inside}");
            }
            for outside in [before, after].into_iter().filter(|address| *address != "-") {
                assert_eq!(what(outside), None, "{outside}");
            }
        }
    }

    #[test]
    fn an_allowed_range_lifts_the_rule_for_its_own_addresses_only() {
        let allowed: Vec<Network> = ["127.0.0.1", "10.1.0.0/16", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        let is_forbidden = |address: &str| forbidden(address.parse().unwrap(), &allowed).is_some();
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.0.0", "10.1.255.255", "fdff::1"] {
            assert!(!is_forbidden(address), "{address}");
        }
        for address in ["127.0.0.2", "10.0.255.255", "10.2.0.0", "fc00::1", "::1", "64:ff9b::127.0.0.1"] {
            assert!(is_forbidden(address), "{address}");
        }
        let everything: [Network; 2] = ["0.0.0.0/0", "::/0"].map(|text| text.parse().unwrap());
        assert_eq!(forbidden("169.254.169.254".parse().unwrap(), &everything), None);
        assert_eq!(forbidden("ff02::1".parse().unwrap(), &everything), None);
        assert!(Network::LOOPBACK.iter().any(|network| network.contains("127.8.8.8".parse().unwrap())));
    }

    #[test]
    fn malformed_ranges_are_refused() {
        for (text, says) in [
            ("10.0.0.0/33", "such as 10.0.0.0/8"),
            ("::/129", "such as"),
            ("10.0.0.0/+8", "such as"),
            ("10.0.0.0/", "such as"),
            ("localhost", "such as"),
            ("", "such as"),
            ("10.1.2.3/8", "the first address of the range, 10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "an IPv4 range to be written as one"),
        ] {
            let refused = text.parse::<Network>().unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        assert_eq!(" 10.0.0.0/8 ".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    proptest! {
        /// The table agrees with the standard library, and no IPv6 form of an IPv4 address gets around it.
        #[test]
        fn no_way_to_write_an_address_gets_around_the_rules(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let found = special(v4.into());
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_unspecified() || v4.is_documentation()
            {
                prop_assert!(found.is_some());
            }
            prop_assert_eq!(special(v4.to_ipv6_mapped().into()), found);
            prop_assert_eq!(special(Ipv6Addr::from_bits(NAT64.0.to_bits() | u128::from(bits)).into()), found);
            prop_assert!(special(v4.to_ipv6_compatible().into()).is_some());
            let six_to_four = Ipv6Addr::from_bits((0x2002 << 112) | (u128::from(bits) << 80));
            prop_assert_eq!(special(six_to_four.into()), Some("6to4"));
        }

        /// A range has exactly the addresses that share its first bits.
        #[test]
        fn a_range_is_its_prefix(bits: u128, prefix in 0..=128u8, flip in 0..128u32) {
            let first = Ipv6Addr::from_bits(bits & mask_v6(prefix));
            prop_assume!(first.to_ipv4_mapped().is_none());
            let network: Network = format!("{first}/{prefix}").parse().unwrap();
            let other = Ipv6Addr::from_bits(first.to_bits() ^ (1 << flip));
            prop_assume!(other.to_ipv4_mapped().is_none());
            prop_assert!(network.contains(first.into()));
            prop_assert_eq!(network.contains(other.into()), flip < 128 - u32::from(prefix));
        }
    }
}
