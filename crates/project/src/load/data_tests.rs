//! Generic data tests: from a line of YAML to a node.

use serde_json::{Map, Value as Json};

use super::{Loader, files, generic};
use crate::config::NodeConfig;
use crate::error::{Fault, Location, Result, nearest};
use crate::jinja::digest;
use crate::layers::{self, Layers};
use crate::node::{Checksum, DependsOn, Node, ResourceType, TestMetadata};
use crate::yaml::{Data, Entry, Yaml};

/// Keys of a test that are no arguments and no configuration.
const SPECIAL: &[&str] = &["name", "description", "config", "arguments", "test_name"];

/// What a test is attached to.
struct Subject {
    /// `ref('m')` or `source('s', 't')`.
    call: String,
    /// Name in the test's name.
    name: String,
    is_source: bool,
    unique_id: String,
    /// Is it disabled or absent?
    disabled: bool,
}

/// A test as written, taken apart.
struct Spec {
    namespace: Option<String>,
    name: String,
    own_name: Option<String>,
    description: String,
    arguments: Vec<(String, Yaml, Location)>,
    layers: Vec<(String, Yaml, Location)>,
    at: Location,
}

impl Loader<'_> {
    /// Makes nodes of all generic tests in all YAML files.
    pub(crate) fn generic_tests(&mut self) -> Result<()> {
        let mut nodes = Vec::new();
        let project = self.file.name.clone();
        for (kind, patches) in
            [("model", &self.properties.models), ("seed", &self.properties.seeds)]
        {
            for (name, yaml) in patches {
                let unique_id = format!("{kind}.{project}.{name}");
                let subject = Subject {
                    call: format!("ref('{name}')"),
                    name: name.clone(),
                    is_source: false,
                    disabled: !self.manifest.nodes.contains_key(&unique_id),
                    unique_id,
                };
                self.tests_of(&subject, yaml, &mut nodes)?;
            }
        }
        for source in &self.properties.sources {
            let source_name = source.opt_text("name")?.unwrap_or_default();
            for table in source.get("tables").map_or(Ok(&[][..]), |all| all.list("tables"))? {
                let name = table.opt_text("name")?.unwrap_or_default();
                let unique_id = format!("source.{project}.{source_name}.{name}");
                let subject = Subject {
                    call: format!("source('{source_name}', '{name}')"),
                    name: format!("{source_name}_{name}"),
                    is_source: true,
                    disabled: !self.manifest.sources.contains_key(&unique_id),
                    unique_id,
                };
                self.tests_of(&subject, table, &mut nodes)?;
            }
        }
        for node in nodes {
            self.add(node)?;
        }
        Ok(())
    }

    fn tests_of(&self, subject: &Subject, yaml: &Yaml, nodes: &mut Vec<Node>) -> Result<()> {
        for test in tests(yaml)? {
            nodes.push(self.test(subject, None, test)?);
        }
        for column in yaml.get("columns").map_or(Ok(&[][..]), |all| all.list("columns"))? {
            let name = column.need_text("name", "a column")?;
            let quoted =
                column.get("quote").is_some_and(|yaml| matches!(yaml.data, Data::Bool(true)));
            let written = if quoted { format!("\"{name}\"") } else { name };
            for test in tests(column)? {
                nodes.push(self.test(subject, Some(&written), test)?);
            }
        }
        Ok(())
    }

    fn test(&self, subject: &Subject, column: Option<&str>, yaml: &Yaml) -> Result<Node> {
        let spec = self.spec(yaml)?;
        let metadata = self.metadata(&spec, subject, column)?;
        let mut prefix =
            if subject.is_source { format!("source_{}", spec.name) } else { spec.name.clone() };
        if let Some(namespace) = &spec.namespace {
            prefix = format!("{namespace}_{prefix}");
        }
        let (short, full) = generic::names(&prefix, &subject.name, &metadata.kwargs);
        let (alias, name) = match &spec.own_name {
            Some(own) => (own.clone(), own.clone()),
            None => (short, full),
        };
        let mut fqn = vec![self.file.name.clone()];
        fqn.extend(files::folders(&spec.at.file, &self.file.yaml_paths()));
        fqn.push(name.clone());
        let mut layers = self.tree_layers("data_tests", &fqn)?;
        if alias != name {
            layers.set("alias", alias.clone().into());
        }
        let render = |key: &str, yaml: &Yaml| self.render_config(key, yaml);
        let place = format!("data test `{}`", spec.name);
        for (key, value, at) in &spec.layers {
            layers.add_one(key, value, at.clone(), &place, &render)?;
        }
        let raw = format!("{{{{ test_{}(**_dbt_generic_test_kwargs) }}}}", spec.name);
        let mut node = Node {
            unique_id: format!(
                "test.{}.{name}.{}",
                self.file.name,
                generic::hash(&name, &metadata)
            ),
            resource_type: ResourceType::Test,
            alias: alias.clone(),
            name,
            package_name: self.file.name.clone(),
            fqn,
            original_file_path: spec.at.file.clone(),
            line: spec.at.line.unwrap_or(1),
            database: self.target.database.clone(),
            schema: self.target.schema.clone(),
            checksum: Checksum { name: "md5".into(), checksum: digest(raw.as_bytes()) },
            raw_code: raw,
            config: NodeConfig::default(),
            unrendered_config: Map::new(),
            description: spec.description.clone(),
            columns: Vec::new(),
            patch_path: None,
            depends_on: DependsOn::default(),
            refs: Vec::new(),
            sources: Vec::new(),
            test_metadata: Some(metadata),
            column_name: column.map(str::to_owned),
            attached_node: Some(subject.unique_id.clone()),
        };
        self.parse_test(&mut node, layers, subject, &spec)?;
        Ok(node)
    }

    /// Renders the test once, so that `config()` inside its macro and all refs are seen.
    fn parse_test(
        &self,
        node: &mut Node,
        written: Layers,
        subject: &Subject,
        spec: &Spec,
    ) -> Result<()> {
        let scope = self.parse_scope(node, &written);
        let Some(metadata) = &node.test_metadata else { return Ok(()) };
        generic::render(&self.engine, &scope, metadata).map_err(|error| {
            let hint = format!("called from {}", spec.at);
            if error.file() == Some(&spec.at.file) {
                error.or_at(spec.at.clone())
            } else {
                error.with_hint(hint)
            }
        })?;
        let mut record = std::mem::take(&mut *scope.record());
        // What the YAML says goes over what the macro's `config()` says.
        let mut layers = Layers::default();
        for (key, value) in record.config.drain(..) {
            layers.set(&key, value);
        }
        for (key, value) in written.to_map() {
            layers.set(&key, value);
        }
        self.absorb(node, &mut layers, record, false);
        if subject.disabled {
            layers.set("enabled", Json::Bool(false));
        }
        self.settle(node, &layers)
    }

    fn metadata(
        &self,
        spec: &Spec,
        subject: &Subject,
        column: Option<&str>,
    ) -> Result<TestMetadata> {
        let macro_name = format!("test_{}", spec.name);
        let globals = &self.engine.globals;
        let known = || {
            let all = globals.macros.keys().chain(globals.builtin_macros.keys());
            all.filter_map(|name| name.strip_prefix("test_"))
        };
        let foreign =
            spec.namespace.as_ref().is_some_and(|one| one != "dbt" && *one != self.file.name);
        let def = globals.find_macro(&macro_name).filter(|_| !foreign);
        let Some(def) = def else {
            let full = match &spec.namespace {
                Some(namespace) => format!("{namespace}.{}", spec.name),
                None => spec.name.clone(),
            };
            let nearest = nearest(&spec.name, known());
            let known = known().map(str::to_owned).collect();
            let fault = Fault::UnknownName { what: "data test", name: full, nearest, known };
            let error = fault.at(spec.at.clone());
            return Err(match foreign {
                true => error.with_hint("packages are not read; copy the test to `tests/generic`"),
                false => error,
            });
        };
        let parameters = generic::parameters(def);
        let mut kwargs = Map::new();
        for (key, value, at) in &spec.arguments {
            if !parameters.contains(key) {
                let names = parameters.iter().map(String::as_str).chain(SPECIAL.iter().copied());
                let nearest = nearest(key, names);
                let place = format!("data test `{}`", spec.name);
                return Err(Fault::UnknownKey { key: key.clone(), place, nearest }.at(at.clone()));
            }
            kwargs.insert(key.clone(), value.to_json());
        }
        if let Some(column) = column {
            kwargs.entry("column_name").or_insert_with(|| column.into());
        }
        let has_default = |name: &str| {
            let tag = def.text.split("%}").next().unwrap_or_default().replace(' ', "");
            tag.contains(&format!("{name}="))
        };
        for name in parameters.iter().filter(|name| *name != "model" && !has_default(name)) {
            if !kwargs.contains_key(name) {
                let place = format!("data test `{}`", spec.name);
                return Err(Fault::MissingKey { key: name.clone(), place }.at(spec.at.clone()));
            }
        }
        let model = format!("{{{{ get_where_subquery({}) }}}}", subject.call);
        kwargs.insert("model".into(), model.into());
        Ok(TestMetadata { name: spec.name.clone(), namespace: spec.namespace.clone(), kwargs })
    }

    /// Takes a test apart: `name`, `{name: {…}}`, or `{test_name: name, …}`.
    fn spec(&self, yaml: &Yaml) -> Result<Spec> {
        let mut spec = Spec {
            namespace: None,
            name: String::new(),
            own_name: None,
            description: String::new(),
            arguments: Vec::new(),
            layers: Vec::new(),
            at: yaml.at(),
        };
        let mut full = String::new();
        let mut inner: Vec<&Entry> = Vec::new();
        match &yaml.data {
            Data::String(name) => full.clone_from(name),
            Data::Map(entries) if yaml.get("test_name").is_some() => {
                full = yaml.need_text("test_name", "a data test")?;
                inner = entries.iter().collect();
            }
            Data::Map(entries) => {
                let Some((first, rest)) = entries.split_first() else {
                    return Err(yaml.wrong("data test", "a name or a mapping"));
                };
                full.clone_from(&first.key);
                spec.at = first.at();
                inner = first.value.map(&first.key)?.iter().collect();
                inner.extend(rest);
            }
            _ => return Err(yaml.wrong("data test", "a name or a mapping")),
        }
        (spec.namespace, spec.name) = match full.split_once('.') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
            None => (None, full),
        };
        for entry in inner {
            let item = (layers::canonical(&entry.key), entry.value.clone(), entry.at());
            match entry.key.as_str() {
                "test_name" => {}
                "name" => spec.own_name = Some(entry.value.text("name")?),
                "description" => spec.description = entry.value.text("description")?,
                "arguments" => {
                    for one in entry.value.map("arguments")? {
                        spec.arguments.push((one.key.clone(), one.value.clone(), one.at()));
                    }
                }
                "config" => {
                    for one in entry.value.map("config")? {
                        spec.layers.push((
                            layers::canonical(&one.key),
                            one.value.clone(),
                            one.at(),
                        ));
                    }
                }
                _ if layers::is_known(&item.0) => spec.layers.push(item),
                _ => spec.arguments.push((entry.key.clone(), item.1, item.2)),
            }
        }
        Ok(spec)
    }
}

/// The tests of a node or column, under either of dbt's two names for them.
fn tests(yaml: &Yaml) -> Result<Vec<&Yaml>> {
    let mut found = Vec::new();
    for key in ["tests", "data_tests"] {
        if let Some(list) = yaml.get(key) {
            found.extend(list.list(key)?);
        }
    }
    Ok(found)
}
