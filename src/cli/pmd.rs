//! `pmd …` and `record`: what a person who teaches meterpost a printer model asks for.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::access::AccessArguments;
use super::packs::{PackVerb, Packs};
use super::{Access, Command, Failure};

/// `pmd …`.
#[derive(Clone, Debug)]
pub enum Pmd {
    /// The library.
    List {
        /// How it is printed.
        format: ListFormat,
        /// A folder of recordings whose models are listed.
        walks: Option<PathBuf>,
        /// More mapping files.
        pmd_dir: Option<PathBuf>,
    },
    /// One mapping with everything that it extends.
    Show {
        /// `kyocera/taskalfa`.
        name: String,
        /// More mapping files.
        pmd_dir: Option<PathBuf>,
    },
    /// Why a field of a device is what it is, or absent.
    Why(Why),
    /// What is wrong with mapping files.
    Lint {
        /// Files and folders of them.
        paths: Vec<PathBuf>,
        /// What they stand among.
        pmd_dir: Option<PathBuf>,
    },
    /// Mapping files against recordings.
    Test {
        /// Mapping files, recordings, and folders of both.
        paths: Vec<PathBuf>,
        /// The library that it is compared with.
        pmd_dir: Option<PathBuf>,
    },
    /// Packs of mapping files.
    Packs(Packs),
    /// A first mapping file from a recording.
    Draft {
        /// The recording.
        walk: PathBuf,
        /// Where it is written; absent = stdout.
        out: Option<PathBuf>,
        /// More mapping files.
        pmd_dir: Option<PathBuf>,
    },
}

/// `pmd why`.
#[derive(Clone, Debug)]
pub struct Why {
    /// An address, a host name, or the path of a recording.
    pub device: String,
    /// As written; absent = an overview.
    pub field: Option<String>,
    /// How to get into an address.
    pub access: Access,
    /// More mapping files.
    pub pmd_dir: Option<PathBuf>,
}

/// `record`.
#[derive(Clone, Debug)]
pub struct Record {
    /// An address or a host name.
    pub device: String,
    /// The file to write.
    pub out: PathBuf,
    /// Keep serial numbers, names and addresses.
    pub raw: bool,
    /// How to get in.
    pub access: Access,
}

/// How the library is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Table,
    /// The published list of supported models, as `pmd/MODELS.md` has it
    Md,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum PmdVerb {
    /// List the mapping files: which devices each is for, and what it reads
    #[command(
        after_help = "Examples:\n  meterpost pmd list\n  meterpost pmd list --format md --walks recordings > MODELS.md"
    )]
    List {
        /// How to print
        #[arg(long, default_value = "table")]
        format: ListFormat,
        /// Name the models of which this folder has recordings
        #[arg(long, value_name = "DIR")]
        walks: Option<PathBuf>,
        /// A folder of mapping files that come before the built-in ones
        #[arg(long, value_name = "DIR")]
        pmd_dir: Option<PathBuf>,
    },
    /// Show one mapping as it works: every rule in the order tried, and the file and line that it comes from
    #[command(after_help = "Example: meterpost pmd show kyocera/taskalfa")]
    Show {
        /// Its name, as `pmd list` has it
        name: String,
        /// A folder of mapping files that come before the built-in ones
        #[arg(long, value_name = "DIR")]
        pmd_dir: Option<PathBuf>,
    },
    /// Why is this number what it is, or absent: every rule that was tried, what the device answered, why it won or lost
    #[command(
        after_help = "Examples:\n  meterpost pmd why 192.168.1.40\n  meterpost pmd why 192.168.1.40 system.impressions --community office\n  meterpost pmd why new-model.snmprec serial_number"
    )]
    Why(WhyArguments),
    /// Say all that is wrong with mapping files: faults, overlaps with other families, rules that are never reached
    #[command(
        after_help = "Examples:\n  meterpost pmd lint acme/mfp.toml\n  meterpost pmd lint pmd\n\nExit code 1 when anything is found."
    )]
    Lint {
        /// A mapping file `<vendor>/<family>.toml`, or a folder of such
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// A folder of mapping files that these stand among
        #[arg(long, value_name = "DIR")]
        pmd_dir: Option<PathBuf>,
    },
    /// Read recordings with mapping files: what each field reads, by which rule, and what changes against the library
    #[command(
        after_help = "Examples:\n  meterpost pmd test acme/mfp.toml acme-500.snmprec\n  meterpost pmd test mappings recordings\n\nBeside a recording may lie what is true of it, `<name>.json` or `<name>.toml`, in the words of `scan --format json`;\nexit code 1 when a reading says something else."
    )]
    Test {
        /// Mapping files, recordings, and folders of both
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Compare with the mapping files of this folder instead of those in use
        #[arg(long, value_name = "DIR")]
        pmd_dir: Option<PathBuf>,
    },
    /// Make a first mapping file from a recording: who it is, what to extend, and candidates for every counter
    #[command(
        after_help = "Examples:\n  meterpost pmd draft acme-500.snmprec\n  meterpost pmd draft acme-500.snmprec -o acme/mfp.toml"
    )]
    Draft {
        /// A recording, as `meterpost record` writes it
        walk: PathBuf,
        /// Write it there; the name of folder and file is the mapping's name [default: print it]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// A folder of mapping files that come before the built-in ones
        #[arg(long, value_name = "DIR")]
        pmd_dir: Option<PathBuf>,
    },
    #[command(flatten)]
    Packs(PackVerb),
}

#[derive(Debug, Args)]
pub(super) struct WhyArguments {
    /// An address, a host name, or a recording (`.snmprec`)
    #[arg(value_name = "ADDRESS|WALK")]
    device: String,
    /// `system.impressions`, `serial_number`, `supplies`, `supplies.1` … [default: an overview]
    field: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
    /// A folder of mapping files that come before the built-in ones
    #[arg(long, value_name = "DIR")]
    pmd_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// An address or a host name
    #[arg(value_name = "ADDRESS")]
    device: String,
    /// The file to write; one that is there is replaced when the recording is whole
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Keep serial numbers, names and addresses as they are
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    access: AccessArguments,
}

impl PmdVerb {
    pub(super) fn into_command(self) -> Result<Command, Failure> {
        Ok(Command::Pmd(match self {
            Self::Packs(verb) => Pmd::Packs(verb.into_packs()),
            Self::List { format, walks, pmd_dir } => Pmd::List { format, walks, pmd_dir },
            Self::Show { name, pmd_dir } => Pmd::Show { name, pmd_dir },
            Self::Why(why) => Pmd::Why(Why {
                device: why.device,
                field: why.field,
                access: why.access.into_access()?,
                pmd_dir: why.pmd_dir,
            }),
            Self::Lint { paths, pmd_dir } => Pmd::Lint { paths, pmd_dir },
            Self::Test { paths, pmd_dir } => Pmd::Test { paths, pmd_dir },
            Self::Draft { walk, out, pmd_dir } => Pmd::Draft { walk, out, pmd_dir },
        }))
    }
}

impl RecordArguments {
    pub(super) fn into_command(self) -> Result<Command, Failure> {
        let access = self.access.into_access()?;
        Ok(Command::Record(Record { device: self.device, out: self.out, raw: self.raw, access }))
    }
}
