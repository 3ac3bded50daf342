//! Importing what lies under paths: a thread finds and reads, and groups of what it has read are stored here.

use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::source::{self, After, Found, Unread};
use super::{GROUP_BYTES_MAX, GROUP_MAX, Outcome, Summary, follow_keys, take_in};
use crate::store::{Store, StoreError};

/// Groups that are read ahead.
const AHEAD: usize = 2;

/// What is told of each file or message: its name, and what became of it or why it was not read.
pub type Told<'t> = dyn FnMut(&str, Result<&Outcome, &str>) + Send + 't;

/// Imports everything under these paths, in any order. An error of the store ends it: what was stored before stays, and the
/// same import may be started again.
pub async fn import(
    store: &Store,
    paths: Vec<PathBuf>,
    now: fn() -> Timestamp,
    told: &mut Told<'_>,
) -> Result<Summary, StoreError> {
    take_all(store, now, told, move |take| {
        for path in &paths {
            source::find(path, take)?;
        }
        ControlFlow::Continue(())
    })
    .await
}

/// Imports what `find` finds.
pub async fn take_all(
    store: &Store,
    now: fn() -> Timestamp,
    told: &mut Told<'_>,
    find: impl FnOnce(&mut source::Taker<'_>) -> ControlFlow<()> + Send + 'static,
) -> Result<Summary, StoreError> {
    let (send, mut groups) = mpsc::channel::<Vec<Found>>(AHEAD);
    let finding = tokio::task::spawn_blocking(move || {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let ended = find(&mut |found: Found| {
            bytes += found.piece.as_ref().map_or(0, |piece| piece.bytes.len());
            group.push(found);
            if group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                return ControlFlow::Continue(());
            }
            bytes = 0;
            // Who takes no more has failed, and says so itself.
            match send.blocking_send(std::mem::take(&mut group)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        if ended.is_continue() && !group.is_empty() {
            let _ = send.blocking_send(group);
        }
    });
    let mut summary = Summary::default();
    while let Some(group) = groups.recv().await {
        take_group(store, group, now(), told, &mut summary).await?;
    }
    finding.await.map_err(|error| StoreError::Broken(error.to_string()))?;
    if summary.unknown_keys > 0 {
        let brought = follow_keys(store, now()).await?;
        summary.new += brought;
        summary.held = summary.held.saturating_sub(brought);
    }
    Ok(summary)
}

async fn take_group(
    store: &Store,
    group: Vec<Found>,
    now: Timestamp,
    told: &mut Told<'_>,
    summary: &mut Summary,
) -> Result<(), StoreError> {
    let (mut pieces, mut afters) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for found in group {
        match found.piece {
            Ok(piece) => {
                afters.push((piece.name.clone(), found.after));
                pieces.push(piece);
            }
            Err(Unread { name, why }) => {
                summary.pieces += 1;
                summary.left += 1;
                told(&name, Err(&why));
            }
        }
    }
    let outcomes = take_in(store, pieces, now).await?;
    // Committed: files and messages may be moved.
    let settling = tokio::task::spawn_blocking(move || {
        let settled = afters.into_iter().zip(outcomes).map(|((name, after), outcome)| {
            let moved = if after == After::Leave { Ok(()) } else { after.settle(&outcome) };
            (name, outcome, moved)
        });
        settled.collect::<Vec<_>>()
    });
    for (name, outcome, moved) in settling.await.map_err(|error| StoreError::Broken(error.to_string()))? {
        summary.count(&outcome);
        told(&name, Ok(&outcome));
        if let Err(error) = moved {
            summary.left += 1;
            told(&name, Err(&format!("its batches are dealt with, and it cannot be moved: {error}")));
        }
    }
    Ok(())
}
