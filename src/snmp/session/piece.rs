//! Lists cut into requests, and where a GETNEXT must start to find an object.

use super::Oid;

/// Objects of a list that go into one request together, by their places in the list.
pub(super) struct Piece {
    /// Places in the list.
    pub places: Vec<usize>,
    /// Whether a larger piece with them got no answer.
    pub isolating: bool,
}

/// Puts the halves on the stack, the first to be asked first.
pub(super) fn halve(pieces: &mut Vec<Piece>, mut places: Vec<usize>, isolating: bool) {
    let second = places.split_off(places.len() / 2);
    pieces.push(Piece { places: second, isolating });
    pieces.push(Piece { places, isolating });
}

/// The greatest OID that is likely to have no object between itself and `oid`: the last arc one less, or left out.
pub(super) fn just_before(oid: &Oid) -> Oid {
    match oid.arcs() {
        [front @ .., 0] => Oid::new(front),
        [front @ .., last] => Oid::new(front).join(&[last - 1]),
        [] => oid.clone(),
    }
}

/// Bytes of a variable binding with this OID and no value.
pub(super) fn encoded_size(oid: &Oid) -> usize {
    let arcs = oid
        .arcs()
        .iter()
        .map(|&arc| {
            if arc < 128 {
                1
            } else if arc < 16_384 {
                2
            } else {
                5
            }
        })
        .sum::<usize>();
    arcs + 6
}
