//! The judge of live tables: one plain run of each model's compiled SQL over all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings, Prepared, Session, Slot};
use clicktrail_pipeline::{Live, QueryResult};
use clicktrail_project::{Materialized, ResourceType, SelectArgs};

use crate::support::{Answers, Shop, shown};

/// Runs every model over all rows, one after another.
pub(crate) struct Judge {
    session: Session,
    stream: Slot,
    models: Vec<(String, Prepared, Slot)>,
}

impl Judge {
    pub(crate) fn new(shop: &Shop) -> Self {
        let workspace = shop.open().unwrap();
        let engine = Embedded::new(EmbeddedSettings {
            threads: 1,
            memory_bytes: 1 << 30,
            spill_dir: std::env::temp_dir(),
        })
        .unwrap();
        let session = engine.single_threaded_session().unwrap();
        let events = clicktrail_ingest::schema::events();
        session.add_live_slot("ga4.events", Arc::clone(&events)).unwrap();
        session.add_live_slot("ga4.events_intraday", Arc::clone(&events)).unwrap();
        let stream = session.add_live_slot("live.events_stream", events).unwrap();
        let compiled = workspace.compile(&SelectArgs::default()).unwrap();
        let manifest = &workspace.project().manifest;
        let mut models = Vec::new();
        for id in manifest.order() {
            let Some(node) = manifest.nodes.get(&id) else { continue };
            if node.resource_type == ResourceType::Seed {
                let QueryResult { schema, batches } =
                    workspace.query(&format!("select * from {}", node.alias)).unwrap();
                session.add_batches(&node.alias, schema, batches).unwrap();
            }
            let Some(found) = compiled.iter().find(|found| found.unique_id == id) else { continue };
            if node.resource_type != ResourceType::Model {
                continue;
            }
            match node.config.materialized {
                Materialized::View => session.add_view(&node.alias, &found.sql).unwrap(),
                Materialized::Ephemeral => {}
                _ => {
                    let plan = session.plan(&found.sql).unwrap();
                    let prepared = session.prepare(&plan).unwrap();
                    let slot = session.add_live_slot(&node.alias, plan.schema()).unwrap();
                    models.push((node.alias.clone(), prepared, slot));
                }
            }
        }
        Self { session, stream, models }
    }

    pub(crate) fn tables(&self, rows: &RecordBatch) -> BTreeMap<String, Vec<String>> {
        self.stream.set(vec![rows.clone()]);
        let mut tables = BTreeMap::new();
        for (name, plan, slot) in &self.models {
            let batches = self.session.run_prepared(plan).unwrap();
            let mut lines: Vec<String> = batches.iter().flat_map(shown).collect();
            lines.sort_unstable();
            tables.insert(name.clone(), lines);
            slot.set(batches);
        }
        tables
    }
}

/// The live tables, for the fold; what does not follow the stream comes from the plain run.
pub(crate) struct Followed<'a> {
    pub(crate) live: &'a Live,
    pub(crate) judge: &'a Judge,
}

impl Answers for Followed<'_> {
    fn batches(&self, sql: &str) -> Vec<RecordBatch> {
        let apart = ["stg_events", "int_events", "int_traffic_sources", "mart_provisional"];
        if apart.iter().any(|table| sql.contains(table)) {
            return self.judge.session.query(sql).unwrap().1;
        }
        self.live.query(sql).unwrap().result.batches
    }
}
