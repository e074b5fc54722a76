//! The elements of a set, whatever way they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::words;

/// The elements of a set.
#[derive(Clone, Debug)]
pub(crate) struct Elements(Vec<Value>);

/// The addresses from the first to the second, as numbers.
type Span = (u128, u128);

impl Elements {
    pub(super) fn read(elements: Value) -> Self {
        match elements {
            Value::Array(elements) => Self(elements),
            Value::Null => Self(Vec::new()),
            single => Self(vec![single]),
        }
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.0.iter().map(words::expression).collect()
    }

    /// The first element that is in one and not in the other, in words, and whether it is
    /// `self` that has it. Addresses are compared as a whole: a network is the same as all of
    /// its parts.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<(String, bool)> {
        let (mine, others) = (self.spans(), other.spans());
        if let (Some(mine), Some(others)) = (&mine, &others) {
            if joined(mine) == joined(others) {
                return None;
            }
            let outside = |of: &[Span], within: &[Span]| {
                let within = joined(within);
                of.iter().position(|&(first, last)| {
                    !within
                        .iter()
                        .any(|&(low, high)| low <= first && last <= high)
                })
            };
            return match (outside(mine, others), outside(others, mine)) {
                (Some(index), _) => Some((words::expression(&self.0[index]), true)),
                (None, Some(index)) => Some((words::expression(&other.0[index]), false)),
                (None, None) => None,
            };
        }
        let missing = |from: &Self, of: &Self| {
            from.0
                .iter()
                .find(|element| !of.0.contains(element))
                .map(words::expression)
        };
        missing(self, other)
            .map(|element| (element, true))
            .or_else(|| missing(other, self).map(|element| (element, false)))
    }

    /// The elements as spans, if all of them are addresses.
    fn spans(&self) -> Option<Vec<Span>> {
        self.0.iter().map(span).collect()
    }
}

fn span(element: &Value) -> Option<Span> {
    if let Some(address) = element.as_str() {
        let (number, _) = number(address)?;
        return Some((number, number));
    }
    if let Some(prefix) = element.get("prefix") {
        let (first, bits) = number(prefix.get("addr")?.as_str()?)?;
        let length = u32::try_from(prefix.get("len")?.as_u64()?).ok()?;
        let hosts = u128::MAX
            .checked_shr(128 - bits.checked_sub(length)?)
            .unwrap_or(0);
        return Some((first & !hosts, first | hosts));
    }
    let range = element.get("range")?.as_array()?;
    let bound = |index: usize| number(range.get(index)?.as_str()?).map(|(number, _)| number);
    Some((bound(0)?, bound(1)?))
}

/// An address as a number, and how many bits its family has.
fn number(address: &str) -> Option<(u128, u32)> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => (Ipv4Addr::to_bits(address).into(), Ipv4Addr::BITS),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address), Ipv6Addr::BITS),
    })
}

/// Spans that touch or overlap become one.
fn joined(spans: &[Span]) -> Vec<Span> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (first, last) in sorted {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(mine: Value, others: Value) -> Option<(String, bool)> {
        Elements::read(mine).first_difference(&Elements::read(others))
    }

    #[test]
    fn the_same_addresses_may_be_written_in_many_ways() {
        let network = json!([{"prefix": {"addr": "10.0.0.0", "len": 24}}]);
        for same in [
            json!([{"range": ["10.0.0.0", "10.0.0.255"]}]),
            json!([
                {"prefix": {"addr": "10.0.0.128", "len": 25}},
                {"prefix": {"addr": "10.0.0.0", "len": 25}}
            ]),
            json!({"prefix": {"addr": "10.0.0.0", "len": 24}}),
        ] {
            assert_eq!(difference(network.clone(), same), None);
        }
    }

    #[test]
    fn a_difference_names_the_element_and_who_has_it() {
        let network = |length: u32| json!([{"prefix": {"addr": "fd00::", "len": length}}]);
        assert_eq!(
            difference(network(8), network(16)),
            Some(("fd00::/8".into(), true))
        );
        assert_eq!(
            difference(network(16), network(8)),
            Some(("fd00::/8".into(), false))
        );
        assert_eq!(
            difference(json!(["10.0.0.1"]), json!([])),
            Some(("10.0.0.1".into(), true))
        );
        let service = |port: u16| json!([{"concat": ["203.0.113.7", port]}]);
        assert_eq!(difference(service(1080), service(1080)), None);
        assert_eq!(
            difference(service(1080), service(1081)),
            Some(("203.0.113.7 . 1080".into(), true))
        );
        assert_eq!(
            difference(json!([]), service(1080)),
            Some(("203.0.113.7 . 1080".into(), false))
        );
    }
}
