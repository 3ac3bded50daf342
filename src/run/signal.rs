//! A person or the system asks the program to end: ctrl-c, SIGTERM.

use tokio::sync::watch;

use super::runtime;
use crate::cli::Failure;

/// Whether the program was asked to end: one for the whole command, whatever half of its work it is at.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Listens from now on, as long as the process lives, in a thread of its own: also while the others block.
    pub fn listen() -> Result<Self, Failure> {
        let (ask, asked) = watch::channel(false);
        let runtime = runtime()?;
        let listening = move || {
            runtime.block_on(async {
                signals(|| _ = ask.send_replace(true)).await;
            });
        };
        let started = std::thread::Builder::new().name("signals".to_owned()).spawn(listening);
        started.map(|_| Self { asked }).map_err(|error| Failure::failed(format!("cannot start: {error}")))
    }

    /// Whether it was.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Ends when it was.
    pub async fn asked(&self) {
        if self.asked.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Calls `first` at the first signal. A second ctrl-c ends the process at once, as if nobody listened.
async fn signals(first: impl FnOnce()) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            // the system refuses: then its own way of ending the process stays
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        first();
        interrupt.recv().await;
    }
    #[cfg(not(unix))]
    {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        first();
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
    }
    std::process::exit(130);
}
