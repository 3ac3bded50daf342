//! Which of a device's own numbers is the total: the one that the life count says too, and the one that others add up to.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Answers;
use crate::snmp::Oid;

/// 1.3.6.1.4.1: the makers' own.
pub const ENTERPRISES: [u32; 6] = [1, 3, 6, 1, 4, 1];
/// Numbers below it add up by chance.
const LEAST: u64 = 100;
/// Numbers of one group that are added up; larger groups are no counters of services or colours.
const GROUP_MAX: usize = 24;
/// Numbers that are looked at.
const NUMBERS_MAX: usize = 20_000;

/// A number of the maker's own and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Where.
    pub oid: Oid,
    /// What.
    pub value: u64,
}

/// Objects that add up to a number.
pub type Parts = Vec<Number>;

/// A number that may be the total.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// It.
    pub number: Number,
    /// The life count of the Printer-MIB is the same number.
    pub is_life: bool,
    /// It is a little less than the life count, which counts engine events too.
    pub is_near_life: bool,
    /// It is from half to twice the life count, which may count sheets; or there is no life count.
    pub is_of_its_size: bool,
    /// Ways in which others of the device's numbers add up to it.
    pub sums: Vec<Parts>,
}

impl Candidate {
    /// How much speaks for it.
    pub fn weight(&self) -> usize {
        3 * usize::from(self.is_life) + 2 * usize::from(self.is_near_life) + 2 * self.sums.len().min(3)
    }

    /// Whether chance alone hardly brings that about: two ways of adding up, or one and the life count beside it, or the very
    /// number of the life count. A number far from the life count is no total.
    pub fn is_strong(&self) -> bool {
        let evidence = self.sums.len() >= 2 || (!self.sums.is_empty() && self.is_near_life) || self.is_life;
        evidence && self.is_of_its_size
    }
}

/// All numbers of the makers' own trees, in walk order.
pub fn numbers(answers: &Answers) -> Vec<Number> {
    let own = answers.iter().filter(|(context, oid, _)| context.is_empty() && oid.arcs().starts_with(&ENTERPRISES));
    let number = |oid: &Oid, answer: &crate::snmp::Answer| {
        let value = u64::try_from(answer.as_ref().ok()?.as_i64()?).ok()?;
        Some(Number { oid: oid.clone(), value })
    };
    own.filter_map(|(_, oid, answer)| number(oid, answer)).take(NUMBERS_MAX).collect()
}

/// Those that may be the total, the best first.
pub fn candidates(numbers: &[Number], life: Option<u64>) -> Vec<Candidate> {
    let groups = groups(numbers);
    let mut sums: BTreeMap<u64, Vec<Parts>> = BTreeMap::new();
    let values: BTreeSet<u64> = numbers.iter().map(|number| number.value).filter(|value| *value >= LEAST).collect();
    for group in &groups {
        add_up(group, &values, &mut sums);
    }
    let mut found: Vec<Candidate> = Vec::new();
    for number in numbers.iter().filter(|number| number.value >= LEAST) {
        let is_life = life == Some(number.value);
        let is_near_life = life.is_some_and(|life| number.value < life && number.value >= life - life / 25);
        let own: Vec<Parts> = sums
            .get(&number.value)
            .into_iter()
            .flatten()
            .filter(|parts| parts.iter().all(|part| part.oid != number.oid))
            .cloned()
            .collect();
        if is_life || is_near_life || !own.is_empty() {
            let is_of_its_size = life.is_none_or(|life| number.value >= life / 2 && number.value / 2 <= life);
            found.push(Candidate { number: number.clone(), is_life, is_near_life, is_of_its_size, sums: own });
        }
    }
    let siblings =
        |oid: &Oid| groups.iter().filter(|group| group.iter().any(|number| number.oid == *oid)).map(Vec::len).max();
    found.sort_by_key(|candidate| {
        let oid = &candidate.number.oid;
        // the total stands by itself more often than among its parts
        (
            std::cmp::Reverse((candidate.is_of_its_size, candidate.weight(), candidate.number.value)),
            siblings(oid).unwrap_or(1),
            oid.clone(),
        )
    });
    found
}

/// Numbers of one column: those that differ in the last number of their OID, and those that differ in the last two.
fn groups(numbers: &[Number]) -> Vec<Vec<Number>> {
    let mut groups: BTreeMap<Oid, Vec<Number>> = BTreeMap::new();
    for number in numbers {
        let arcs = number.oid.arcs();
        for cut in [1, 2] {
            if arcs.len() > ENTERPRISES.len() + 2 + cut {
                groups.entry(Oid::new(&arcs[..arcs.len() - cut])).or_default().push(number.clone());
            }
        }
        // scalars end in .0: their neighbours differ in the number before it
        if arcs.last() == Some(&0) && arcs.len() > ENTERPRISES.len() + 3 {
            let stem = Oid::new(&arcs[..arcs.len() - 2]);
            if groups.get(&stem).is_none_or(|known| !known.contains(number)) {
                groups.entry(stem).or_default().push(number.clone());
            }
        }
    }
    groups.into_values().filter(|group| (2..=GROUP_MAX).contains(&group.len())).collect()
}

/// Sums of a group that are numbers of the device too: of all its numbers, of any two, and of any three.
fn add_up(group: &[Number], values: &BTreeSet<u64>, sums: &mut BTreeMap<u64, Vec<Parts>>) {
    let parts: Vec<&Number> = group.iter().filter(|number| number.value > 0).collect();
    let mut keep = |parts: &[&Number]| {
        let sum: u64 = parts.iter().map(|part| part.value).fold(0, u64::saturating_add);
        // a part as large as nearly the whole says little
        if parts.len() < 2 || !values.contains(&sum) || parts.iter().any(|part| sum - part.value < 2) {
            return;
        }
        let parts: Parts = parts.iter().map(|part| (*part).clone()).collect();
        let known = sums.entry(sum).or_default();
        if known.len() < 8 && !known.iter().any(|other| values_of(other) == values_of(&parts)) {
            known.push(parts);
        }
    };
    keep(&parts);
    for (n, one) in parts.iter().enumerate() {
        for (m, two) in parts.iter().enumerate().skip(n + 1) {
            keep(&[one, two]);
            for three in parts.iter().skip(m + 1) {
                keep(&[one, two, three]);
            }
        }
    }
}

fn values_of(parts: &Parts) -> BTreeSet<u64> {
    parts.iter().map(|part| part.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(objects: &[(&str, u64)]) -> Vec<Number> {
        objects
            .iter()
            .map(|(oid, value)| Number { oid: format!("1.3.6.1.4.1.99999.{oid}").parse().unwrap(), value: *value })
            .collect()
    }

    #[test]
    fn the_total_is_what_functions_and_colours_both_add_up_to() {
        let numbers = of(&[
            ("1.1.1.1", 52310),
            ("1.1.1.2", 31277),
            ("1.1.1.4", 1842),
            ("1.2.1.1", 50019),
            ("1.2.1.2", 410),
            ("1.2.1.3", 35000),
            ("2.1.0", 85429),
            ("3.1.0", 77),
        ]);
        let found = candidates(&numbers, Some(85911));
        assert_eq!(found[0].number, of(&[("2.1.0", 85429)])[0]);
        assert_eq!(found[0].sums.len(), 2);
        assert!(found[0].is_near_life && found[0].is_strong());
    }

    #[test]
    fn a_number_that_nothing_speaks_for_is_no_candidate() {
        assert!(candidates(&of(&[("1.0", 4000), ("2.0", 5000)]), Some(7000)).is_empty());
        // a sum by chance, far from the life count
        let found = candidates(&of(&[("1.1", 300), ("1.2", 208), ("2.0", 508)]), Some(7389));
        assert!(found.iter().all(|candidate| !candidate.is_strong()));
        let found = candidates(&of(&[("1.0", 4000), ("2.0", 5000)]), Some(5000));
        assert_eq!((found.len(), found[0].is_life), (1, true));
    }
}
