//! Models, seeds and singular data tests: read, configured, parsed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::value::{Kwargs, Value};
use serde_json::Map;

use super::{Loader, files, read_all};
use crate::config::{Materialized, NodeConfig};
use crate::error::{Fault, Location, Result, nearest};
use crate::jinja::objects::Relation;
use crate::jinja::scope::{Record, Scope};
use crate::jinja::{digest, refuse_blocks};
use crate::layers::Layers;
use crate::node::{Checksum, DependsOn, Node, ResourceType};
use crate::yaml::Yaml;

impl Loader<'_> {
    /// Reads and parses `models/**/*.sql`.
    pub(crate) fn models(&mut self) -> Result<()> {
        let roots = self.file.model_paths.clone();
        for (file, text) in read_all(self.dir, &roots, &["sql"])? {
            refuse_blocks(&file, &text)?;
            let node = self.sql_node(ResourceType::Model, file, text, &roots)?;
            self.add(node)?;
        }
        if let Some(file) = files::list(self.dir, &roots, &["py"])?.first() {
            let what = "a Python model".into();
            return Err(Fault::Unsupported { what }.at(Location::file(file.clone())));
        }
        Ok(())
    }

    /// Reads `tests/**/*.sql` but for `generic/` and `fixtures/`.
    pub(crate) fn singular_tests(&mut self) -> Result<()> {
        let roots = self.file.test_paths.clone();
        for (file, text) in read_all(self.dir, &roots, &["sql"])? {
            let folders = files::folders(&file, &roots);
            if matches!(folders.first().map(String::as_str), Some("generic" | "fixtures")) {
                continue;
            }
            refuse_blocks(&file, &text)?;
            let node = self.sql_node(ResourceType::Test, file, text, &roots)?;
            self.add(node)?;
        }
        Ok(())
    }

    /// Reads `seeds/**/*.csv`.
    pub(crate) fn seeds(&mut self) -> Result<()> {
        let roots = self.file.seed_paths.clone();
        for file in files::list(self.dir, &roots, &["csv"])? {
            let path = self.dir.join(&file);
            let bytes = std::fs::read(&path).map_err(|source| Fault::Io {
                verb: "read",
                path: path.clone(),
                source,
            })?;
            let mut node = self.bare(ResourceType::Seed, &file, String::new(), &roots);
            node.checksum = checksum(&bytes);
            let mut layers = self.tree_layers("seeds", &node.fqn)?;
            self.patch(&mut node, &mut layers, "seed")?;
            self.settle(&mut node, &layers)?;
            self.add(node)?;
        }
        Ok(())
    }

    fn bare(&self, kind: ResourceType, file: &Path, text: String, roots: &[PathBuf]) -> Node {
        let name = files::stem(file);
        let mut fqn = vec![self.file.name.clone()];
        fqn.extend(files::folders(file, roots));
        fqn.push(name.clone());
        Node {
            unique_id: format!("{}.{}.{name}", kind.as_str(), self.file.name),
            resource_type: kind,
            alias: name.clone(),
            name,
            package_name: self.file.name.clone(),
            fqn,
            original_file_path: file.to_owned(),
            line: 1,
            database: self.target.database.clone(),
            schema: self.target.schema.clone(),
            checksum: checksum(text.trim().as_bytes()),
            raw_code: text,
            config: NodeConfig::default(),
            unrendered_config: Map::new(),
            description: String::new(),
            columns: Vec::new(),
            patch_path: None,
            depends_on: DependsOn::default(),
            refs: Vec::new(),
            sources: Vec::new(),
            test_metadata: None,
            column_name: None,
            attached_node: None,
        }
    }

    fn sql_node(
        &self,
        kind: ResourceType,
        file: PathBuf,
        text: String,
        roots: &[PathBuf],
    ) -> Result<Node> {
        let mut node = self.bare(kind, &file, text, roots);
        let (tree, what) = match kind {
            ResourceType::Test => ("data_tests", "data test"),
            _ => ("models", "model"),
        };
        let mut layers = self.tree_layers(tree, &node.fqn)?;
        self.patch(&mut node, &mut layers, what)?;
        let scope = self.parse_scope(&node, &layers);
        self.engine.render(&node.raw_code, &scope, false)?;
        let record = std::mem::take(&mut *scope.record());
        self.absorb(&mut node, &mut layers, record, true);
        self.settle(&mut node, &layers)?;
        Ok(node)
    }

    /// A scope in which a node is parsed.
    pub(crate) fn parse_scope(&self, node: &Node, layers: &Layers) -> Arc<Scope> {
        let mut model = Map::new();
        model.insert("name".into(), node.name.clone().into());
        model.insert("unique_id".into(), node.unique_id.clone().into());
        model.insert("resource_type".into(), node.resource_type.as_str().into());
        Arc::new(Scope {
            config: layers.to_map(),
            model,
            this: Some(Relation {
                sql: node.name.clone(),
                database: node.database.clone(),
                schema: node.schema.clone(),
                identifier: node.name.clone(),
            }),
            ..self.scope(&node.original_file_path)
        })
    }

    /// Takes over what parsing saw.
    pub(crate) fn absorb(
        &self,
        node: &mut Node,
        layers: &mut Layers,
        record: Record,
        with_config: bool,
    ) {
        if with_config {
            for (key, value) in record.config {
                layers.set(&key, value);
            }
        }
        node.refs = record.refs;
        node.sources = record.sources;
        let own = format!("macro.{}.", self.file.name);
        node.depends_on.macros =
            record.macros.into_iter().filter(|id| id.starts_with(&own)).collect();
    }

    /// Applies the YAML entry of a node.
    fn patch(&self, node: &mut Node, layers: &mut Layers, what: &str) -> Result<()> {
        let patches = match node.resource_type {
            ResourceType::Seed => &self.properties.seeds,
            ResourceType::Test => &self.properties.singular,
            _ => &self.properties.models,
        };
        let Some(yaml) = patches.get(&node.name) else { return Ok(()) };
        node.patch_path = Some(yaml.at().file);
        node.description = self.rendered_text(yaml, "description")?.unwrap_or_default();
        node.columns = self.columns(yaml)?;
        let place = format!("`config` of {what} `{}`", node.name);
        let render = |key: &str, yaml: &Yaml| self.render_config(key, yaml);
        for key in ["meta", "tags"] {
            if let Some(value) = yaml.get(key) {
                layers.add_one(key, value, value.at(), &place, &render)?;
            }
        }
        if let Some(config) = yaml.get("config") {
            layers.add_yaml(config, &place, &render)?;
        }
        Ok(())
    }

    /// Types the configuration and derives names from it.
    pub(crate) fn settle(&self, node: &mut Node, layers: &Layers) -> Result<()> {
        let materialized = match node.resource_type {
            ResourceType::Seed => Materialized::Seed,
            ResourceType::Test => Materialized::Test,
            _ => Materialized::View,
        };
        node.config = layers.finish(NodeConfig { materialized, ..NodeConfig::default() })?;
        let fits = match node.resource_type {
            ResourceType::Model => {
                !matches!(node.config.materialized, Materialized::Seed | Materialized::Test)
            }
            _ => node.config.materialized == materialized,
        };
        if !fits {
            let fault = Fault::BadValue {
                key: "materialized".into(),
                expected: "one of `view`, `table`, `incremental`, `ephemeral` on a model".into(),
                found: format!("`{}`", node.config.materialized.as_str()),
            };
            return Err(fault.at(Location::file(node.original_file_path.clone())));
        }
        node.unrendered_config = layers.to_map();
        if let Some(database) = &node.config.database {
            node.database = Some(database.clone());
        }
        let schema = node.config.schema.clone();
        node.schema = match self.naming("generate_schema_name", schema.as_deref(), node)? {
            Some(schema) => schema,
            None => match schema {
                Some(custom) => format!("{}_{custom}", self.target.schema),
                None => self.target.schema.clone(),
            },
        };
        let alias = node.config.alias.clone();
        node.alias = match self.naming("generate_alias_name", alias.as_deref(), node)? {
            Some(alias) => alias,
            None => alias.unwrap_or_else(|| node.name.clone()),
        };
        Ok(())
    }

    /// A project's own `generate_schema_name` or `generate_alias_name`.
    fn naming(&self, name: &str, custom: Option<&str>, node: &Node) -> Result<Option<String>> {
        let Some(def) = self.engine.globals.macros.get(name) else { return Ok(None) };
        let scope = Arc::new(self.scope(&node.original_file_path));
        let description = serde_json::json!({
            "name": node.name, "fqn": node.fqn, "resource_type": node.resource_type.as_str(),
            "config": node.unrendered_config, "schema": node.schema,
        });
        let key =
            if name == "generate_schema_name" { "custom_schema_name" } else { "custom_alias_name" };
        let arguments = [
            (key.to_owned(), Value::from_serialize(custom)),
            ("node".to_owned(), Value::from_serialize(description)),
        ];
        let text = self.engine.call(def, Kwargs::from_iter(arguments).into(), &scope)?;
        Ok(Some(text.trim().to_owned()))
    }

    /// Puts a node where it belongs; models and seeds share their names.
    pub(crate) fn add(&mut self, node: Node) -> Result<()> {
        let is_relation = |one: &Node| one.resource_type != ResourceType::Test;
        let taken = |one: &&Node| {
            one.unique_id == node.unique_id
                || (is_relation(one) && is_relation(&node) && one.name == node.name)
        };
        let all = self.manifest.nodes.values().chain(self.manifest.disabled.values());
        if let Some(first) = all.into_iter().find(taken) {
            let what = match node.resource_type {
                ResourceType::Test => "data test",
                ResourceType::Seed => "seed",
                _ => "model",
            };
            let first = Location::line(first.original_file_path.clone(), first.line);
            let at = Location::line(node.original_file_path.clone(), node.line);
            return Err(Fault::Duplicate { what, name: node.name, first }.at(at));
        }
        let home = if node.config.enabled {
            &mut self.manifest.nodes
        } else {
            &mut self.manifest.disabled
        };
        home.insert(node.unique_id.clone(), node);
        Ok(())
    }

    /// Refuses YAML entries that describe nothing.
    pub(crate) fn check_patches(&self) -> Result<()> {
        let kinds = [
            ("model", ResourceType::Model, &self.properties.models),
            ("seed", ResourceType::Seed, &self.properties.seeds),
            ("data test", ResourceType::Test, &self.properties.singular),
        ];
        for (what, kind, patches) in kinds {
            let all = self.manifest.nodes.values().chain(self.manifest.disabled.values());
            let known: Vec<&str> = all
                .filter(|node| node.resource_type == kind)
                .map(|node| node.name.as_str())
                .collect();
            for (name, yaml) in patches {
                if !known.contains(&name.as_str()) {
                    let nearest = nearest(name, known.iter().copied());
                    let (name, known) = (name.clone(), Vec::new());
                    let at = yaml.get("name").unwrap_or(yaml).at();
                    return Err(Fault::UnknownName { what, name, nearest, known }.at(at));
                }
            }
        }
        Ok(())
    }
}

/// dbt hashes with SHA-256; ours says which hash it is, and MD5 we need for names anyway.
fn checksum(bytes: &[u8]) -> Checksum {
    Checksum { name: "md5".into(), checksum: digest(bytes) }
}
