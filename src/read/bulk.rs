//! Packing what GETBULK shall ask into few requests without asking much in vain. Pure.

use crate::snmp::Oid;

/// Cells that one GETBULK asks for: what fits into one datagram of 1,472 bytes.
const CELLS_MAX: usize = 56;
/// Cells that one GETBULK may ask for in vain, because its starts want unlike numbers of them: each costs 20 to 40 bytes, and
/// a request of its own 90.
const VAIN_MAX: usize = 12;
/// A request of fewer cells waits for the next round, when what is left then may join it.
const CELLS_WORTH: usize = CELLS_MAX / 2;

/// Cells to be asked one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// SNMPv3 context.
    pub context: String,
    /// How many.
    pub cells: usize,
    /// They lie behind this.
    pub start: Oid,
}

/// One GETBULK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// SNMPv3 context.
    pub context: String,
    /// Where it starts; those of which one cell is enough come first.
    pub starts: Vec<Oid>,
    /// How many of the starts are asked for one cell: the non-repeaters of RFC 3416.
    pub single: usize,
    /// Cells asked behind each of the others.
    pub repetitions: usize,
}

impl Request {
    fn cells(&self) -> usize {
        self.single + (self.starts.len() - self.single) * self.repetitions
    }

    /// Which start the nth answer belongs to.
    pub fn start_of(&self, n: usize) -> usize {
        match n.checked_sub(self.single) {
            None => n,
            Some(n) => self.single + n % (self.starts.len() - self.single).max(1),
        }
    }
}

/// The requests of one round, of at most so many starts each. What does not come now is to be wanted again; something
/// always comes.
pub fn pack(mut wants: Vec<Want>, starts_max: usize) -> Vec<Request> {
    wants.sort_by(|a, b| (&a.context, b.cells).cmp(&(&b.context, a.cells)));
    let mut requests: Vec<Request> = Vec::new();
    for of_context in wants.chunk_by(|a, b| a.context == b.context) {
        let first = requests.len();
        let (mut rest, mut singles) = of_context.split_at(of_context.partition_point(|want| want.cells > 1));
        while let Some(longest) = rest.first() {
            let repetitions = longest.cells.min(CELLS_MAX);
            let vain = |wants: &[Want]| wants.iter().map(|want| repetitions.saturating_sub(want.cells)).sum::<usize>();
            let fits = |n: &usize| n * repetitions <= CELLS_MAX && *n <= starts_max && vain(&rest[..*n]) <= VAIN_MAX;
            let many = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let starts = rest[..many].iter().map(|want| want.start.clone()).collect();
            requests.push(Request { context: longest.context.clone(), starts, single: 0, repetitions });
            rest = &rest[many..];
        }
        let mut n = 0;
        requests.retain(|request| {
            n += 1;
            n <= first + 1 || request.cells() >= CELLS_WORTH
        });
        if requests.len() == first
            && let Some(want) = singles.first()
        {
            requests.push(Request { context: want.context.clone(), starts: Vec::new(), single: 0, repetitions: 1 });
        }
        for request in &mut requests[first..] {
            let room = (CELLS_MAX - request.cells()).min(starts_max.saturating_sub(request.starts.len()));
            let (joining, others) = singles.split_at(room.min(singles.len()));
            request.starts.splice(0..0, joining.iter().map(|want| want.start.clone()));
            request.single = joining.len();
            singles = others;
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants of so many cells, in one context; `(single, starts, repetitions)` of each request.
    #[track_caller]
    fn check(cells: &[usize], starts_max: usize, expected: &[(usize, usize, usize)]) {
        let want = |(n, cells): (usize, &usize)| Want {
            context: String::new(),
            cells: *cells,
            start: Oid::new(&[1, 3, n as u32]),
        };
        let packed = pack(cells.iter().enumerate().map(want).collect(), starts_max);
        let found: Vec<(usize, usize, usize)> =
            packed.iter().map(|request| (request.single, request.starts.len(), request.repetitions)).collect();
        assert_eq!(found, expected);
        assert!(packed.iter().all(|request| request.cells() <= CELLS_MAX && request.starts.len() <= starts_max));
    }

    #[test]
    fn starts_that_want_alike_share_a_request_and_what_is_thin_waits() {
        check(&[], 25, &[]);
        check(&[400], 25, &[(0, 1, 56)]);
        check(&[24, 1, 24, 3, 1], 25, &[(2, 4, 24)]);
        check(&[11, 10, 9, 9, 2, 2], 25, &[(0, 4, 11)]);
        check(&[5; 12], 25, &[(0, 11, 5)]);
        check(&[3, 2], 25, &[(0, 2, 3)]);
    }

    #[test]
    fn single_cells_alone_are_a_request_and_no_request_has_more_starts_than_the_device_bears() {
        check(&[1, 1, 1], 25, &[(3, 3, 1)]);
        check(&[2; 30], 10, &[(0, 10, 2)]);
        check(&[1; 30], 10, &[(10, 10, 1)]);
    }

    #[test]
    fn each_answer_belongs_to_its_start() {
        let starts = (0..5).map(|n| Oid::new(&[1, 3, n])).collect();
        let request = Request { context: String::new(), starts, single: 2, repetitions: 2 };
        let found: Vec<usize> = (0..8).map(|n| request.start_of(n)).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 2, 3, 4]);
    }
}
