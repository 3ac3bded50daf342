//! What a sweep came to: a verdict for every address, ranges instead of texts for the silent.

use std::net::IpAddr;

use crate::snmp::Traffic;
use crate::targets::Addresses;

/// What an address turned out to be. The first two are told by reading, the others by the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A printer.
    Printer,
    /// It answers and is none.
    NotPrinter,
    /// No answer.
    Silent,
    /// This host has no way there: no route, no socket of that family, a packet that may not be sent. What other hosts
    /// say (ICMP) is not heard: the sweep's one socket is connected to nobody, and such words may be forged, rate-limited
    /// or a printer's own while it starts. An address of a host that refuses is `silent`.
    Unreachable,
    /// It answers and lets none of the credentials in.
    WrongCredential,
    /// Not asked, as it was excluded.
    Excluded,
    /// Not asked, as the time was up.
    BudgetEnded,
}

impl Verdict {
    /// The word in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Printer => "printer",
            Self::NotPrinter => "not_printer",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::WrongCredential => "wrong_credential",
            Self::Excluded => "excluded",
            Self::BudgetEnded => "budget_ended",
        }
    }
}

/// What a sweep came to. Sets of addresses are ranges: silence costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Asked in vain.
    pub silent: Addresses,
    /// No way to them.
    pub unreachable: Addresses,
    /// Never asked, as the sweep was stopped.
    pub not_asked: Addresses,
    /// Named and excluded.
    pub excluded: Addresses,
    /// How many were asked or would have been.
    pub addresses: u64,
    /// How many answered.
    pub answered: u64,
    /// Questions that each silent address got at most.
    pub questions: u32,
    /// Packets and bytes of UDP payload.
    pub traffic: Traffic,
    /// Answers from another port than the one asked; taken all the same.
    pub other_port: u64,
    /// Datagrams that were no answer to any question: from strangers, doubled, with foreign ids, garbage.
    pub unexpected: u64,
}

impl Outcome {
    /// The sweep's own verdicts, each with a detail for people; those of answering addresses come from reading.
    pub fn verdicts(&self) -> impl Iterator<Item = (IpAddr, Verdict, String)> + '_ {
        let questions = self.questions;
        let silent =
            move |_: &IpAddr| format!("no answer to {questions} question{}", if questions == 1 { "" } else { "s" });
        self.excluded
            .iter()
            .map(|address| (address, Verdict::Excluded, "excluded from the targets".to_owned()))
            .chain(self.silent.iter().map(move |address| (address, Verdict::Silent, silent(&address))))
            .chain(
                self.unreachable
                    .iter()
                    .map(|address| (address, Verdict::Unreachable, "the network has no way there".to_owned())),
            )
            .chain(
                self.not_asked
                    .iter()
                    .map(|address| (address, Verdict::BudgetEnded, "not asked before the time was up".to_owned())),
            )
    }
}
