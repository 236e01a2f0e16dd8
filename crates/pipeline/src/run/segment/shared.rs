//! What all workers of a segment share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use clicktrail_engine::delta::Snapshot;

use super::layout::Layout;
use super::scope::Scope;
use crate::error::PipelineError;
use crate::run::Run;

/// What all workers share.
pub(super) struct Shared<'a, 'b> {
    pub(super) run: &'a Run<'b>,
    pub(super) layout: &'a Layout<'b>,
    pub(super) scope: &'a Scope,
    /// The unit that is taken next.
    pub(super) next: AtomicUsize,
    pub(super) bases: BTreeMap<String, Option<Snapshot>>,
    pub(super) sequences: BTreeMap<String, Arc<AtomicU64>>,
    pub(super) failed: Mutex<BTreeMap<String, PipelineError>>,
    pub(super) seconds: Mutex<BTreeMap<String, f64>>,
}

impl Shared<'_, '_> {
    /// Notes a failure of a member, or of a part of one: then the model has failed, and what reads the part.
    pub(super) fn fail(&self, part: &str, model: &str, error: PipelineError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if part != model {
            failed.entry(part.to_owned()).or_insert_with(|| {
                clicktrail_engine::EngineError::Internal(format!("a part of `{model}` failed"))
                    .into()
            });
        }
        failed.entry(model.to_owned()).or_insert(error);
    }
}
