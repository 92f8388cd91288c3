//! Stretches of time → shares: one for each service and kind, in whole per cent that add up to 100.

use std::collections::BTreeMap;

use crate::id::SpanId;
use crate::verdict::kinds::Spent;
use crate::verdict::path::Stretch;
use crate::verdict::view::View;

/// A part of the time.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Whose time it is.
    pub service: String,
    /// Between two hops: the one that was asked.
    pub to: Option<String>,
    /// What it was spent on.
    pub spent: Spent,
    /// Nanoseconds.
    pub time: u64,
    /// Of the whole, rounded so that all shares add up to 100.
    pub percent: u64,
    /// The span's name that most of it belongs to.
    pub name: String,
    /// Whether spans of other names are in it too.
    pub is_mixed: bool,
    /// How many spans of this name are in it.
    pub spans: usize,
    /// The one of them with the most time in it.
    pub span: SpanId,
}

/// Service, who was asked, kind.
type Group<'s> = (&'s str, Option<&'s str>, Spent);
/// Node → nanoseconds.
type Parts = BTreeMap<usize, u64>;

/// The shares of `stretches`, the largest first. Empty if there are none.
pub(super) fn of(view: &View<'_>, stretches: &[Stretch]) -> Vec<Share> {
    let mut groups: BTreeMap<Group<'_>, BTreeMap<&str, Parts>> = BTreeMap::new();
    for stretch in stretches {
        let other = stretch.other.map(|other| service(view, other));
        let group = (service(view, stretch.node), other, stretch.spent);
        let named = groups.entry(group).or_default().entry(name(view, stretch.node)).or_default();
        *named.entry(stretch.node).or_default() += stretch.length();
    }
    let mut shares: Vec<Share> =
        groups.into_iter().filter_map(|(group, named)| share(view, group, &named)).collect();
    // What is equal stays in the order of the groups, which is the same for any order of lines.
    shares.sort_by_key(|share| std::cmp::Reverse(share.time));
    divide(&mut shares);
    shares
}

fn share(view: &View<'_>, (service, to, spent): Group<'_>, named: &BTreeMap<&str, Parts>) -> Option<Share> {
    let sum = |parts: &Parts| parts.values().sum::<u64>();
    let (name, parts) = named.iter().max_by_key(|(_, parts)| sum(parts))?;
    let (node, _) = parts.iter().max_by_key(|(_, time)| **time)?;
    Some(Share {
        service: service.to_owned(),
        to: to.map(str::to_owned),
        spent,
        time: named.values().map(sum).sum(),
        percent: 0,
        name: (*name).to_owned(),
        is_mixed: named.len() > 1,
        spans: parts.len(),
        span: view.story.nodes[*node].id,
    })
}

/// Gives each its per cent: rounded down, and what is left over to those that lost the most by it.
fn divide(shares: &mut [Share]) {
    let total: u128 = shares.iter().map(|share| u128::from(share.time)).sum();
    if total == 0 {
        return;
    }
    let hundredfold = |share: &Share| u128::from(share.time) * 100;
    for share in &mut *shares {
        share.percent = u64::try_from(hundredfold(share) / total).unwrap_or(100);
    }
    let left = 100_u64.saturating_sub(shares.iter().map(|share| share.percent).sum());
    let mut by_loss: Vec<usize> = (0..shares.len()).collect();
    by_loss.sort_by_key(|index| std::cmp::Reverse(hundredfold(&shares[*index]) % total));
    for index in by_loss.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[index].percent += 1;
    }
}

/// Whose node it is; of one that was never written, whose spans and lines name it.
fn service<'s>(view: &View<'s>, index: usize) -> &'s str {
    let node = &view.story.nodes[index];
    let of_children = || node.children.iter().find_map(|child| view.story.nodes[*child].span.as_ref());
    let of_spans = node.span.as_ref().or_else(of_children).map(|span| &*span.service);
    of_spans.or_else(|| node.lines.first().map(|line| &*line.service)).unwrap_or_default()
}

fn name<'s>(view: &View<'s>, index: usize) -> &'s str {
    view.story.nodes[index].span.as_ref().map_or("", |span| &span.name)
}
