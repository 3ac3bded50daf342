//! Which objects may be asked at all. The same function checks mapping files when they load and every request of the
//! running collector.
//!
//! A GET can be a write: Epson's control channel spells commands in the OID. And tables of passwords, communities, jobs,
//! users and address books are nobody's business here (DESIGN 5, invariant 2).

use crate::snmp::Oid;

/// What may be asked.
const ALLOWED: [&[u32]; 2] = [&[1, 3, 6, 1, 2, 1], &[1, 3, 6, 1, 4, 1]];

/// What lies there and may not.
const DENIED: [(&[u32], &str); 6] = [
    (&[1, 3, 6, 1, 4, 1, 1248, 1, 2, 2, 44, 1, 1, 2], "Epson's command channel: a GET there can write"),
    (&[1, 3, 6, 1, 4, 1, 2699, 1, 1], "the Job Monitoring MIB: jobs and their owners"),
    (&[1, 3, 6, 1, 4, 1, 1347, 47], "Kyocera's lists of jobs, users and addresses"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 6], "HP's jobs and their owners"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 1, 1, 13], "HP's gdPasswords"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 3, 9, 1], "HP's device passwords"),
];

/// Why an object may not be asked; `None` when it may.
///
/// An OID above a denied one is refused too where `whole` says that everything under it will be read (a walk).
pub fn refused(oid: &Oid, whole: bool) -> Option<&'static str> {
    let arcs = oid.arcs();
    if !ALLOWED.iter().any(|root| arcs.starts_with(root) && arcs.len() > root.len()) {
        return Some("outside 1.3.6.1.2.1 and 1.3.6.1.4.1");
    }
    // asked thousands of times for every device: where the enterprises differ there is nothing to compare
    let may_be_under = |root: &[u32]| root.get(6).zip(arcs.get(6)).is_none_or(|(one, other)| one == other);
    DENIED
        .iter()
        .filter(|(root, _)| may_be_under(root))
        .find(|(root, _)| arcs.starts_with(root) || (whole && root.starts_with(arcs)))
        .map(|(_, reason)| *reason)
}

/// The tree that an object lies in which may not be asked, and why.
pub fn denied(oid: &Oid) -> Option<(Oid, &'static str)> {
    let tree = DENIED.iter().find(|(root, _)| oid.arcs().starts_with(root));
    tree.map(|(root, reason)| (Oid::new(root), *reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(oid: &str, whole: bool, expected: Option<&str>) {
        assert_eq!(refused(&oid.parse().unwrap(), whole), expected, "{oid}");
    }

    #[test]
    fn command_objects_and_tables_of_people_are_refused() {
        check(
            "1.3.6.1.4.1.1248.1.2.2.44.1.1.2.1.124.124.16.0",
            false,
            Some("Epson's command channel: a GET there can write"),
        );
        check("1.3.6.1.4.1.2699.1.1.1.1", false, Some("the Job Monitoring MIB: jobs and their owners"));
        check("1.3.6.1.4.1.1347.47.17", false, Some("Kyocera's lists of jobs, users and addresses"));
        check("1.3.6.1.4.1.1347", true, Some("Kyocera's lists of jobs, users and addresses"));
    }

    #[test]
    fn what_lies_beside_them_is_fine_and_other_trees_are_not() {
        check("1.3.6.1.4.1.1248.1.2.2.44.1.1.3", false, None);
        check("1.3.6.1.4.1.1347.43.5.1.1.1.1", false, None);
        check("1.3.6.1.4.1.1347.4", true, None);
        check("1.3.6.1.2.1.1.1.0", false, None);
        check("1.3.6.1.6.3.15.1.2.2", false, Some("outside 1.3.6.1.2.1 and 1.3.6.1.4.1"));
        check("1.3.6.1.4.1", true, Some("outside 1.3.6.1.2.1 and 1.3.6.1.4.1"));
    }
}
