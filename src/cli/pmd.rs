//! `pmd …` and `record`: what a person who teaches meterpost a printer model asks for.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Command, Failure};

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
    /// What is wrong with mapping files.
    Lint {
        /// Files and folders of them.
        paths: Vec<PathBuf>,
    },
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
    /// Say all that is wrong with mapping files: faults, overlaps with other families, rules that are never reached
    #[command(
        after_help = "Examples:\n  meterpost pmd lint acme/mfp.toml\n  meterpost pmd lint pmd\n\nExit code 1 when anything is found."
    )]
    Lint {
        /// A mapping file `<vendor>/<family>.toml`, or a folder of such
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

impl PmdVerb {
    pub(super) fn into_command(self) -> Result<Command, Failure> {
        Ok(Command::Pmd(match self {
            Self::List { format, walks, pmd_dir } => Pmd::List { format, walks, pmd_dir },
            Self::Show { name, pmd_dir } => Pmd::Show { name, pmd_dir },
            Self::Lint { paths } => Pmd::Lint { paths },
        }))
    }
}
