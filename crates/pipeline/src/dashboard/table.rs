//! A page's table as CSV or Markdown: exactly the rows that the page shows.

use serde_json::Value;

/// Cells as text.
pub(super) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// The table of a page's data.
pub(super) fn of(page: &str, data: &Value) -> Option<Table> {
    match page {
        "overview" | "models" => Some(credit(&data["credit"])),
        "paths" => Some(paths(&data["paths"])),
        "conversions" => Some(conversions(data)),
        _ => None,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn credit(credit: &Value) -> Table {
    let models: Vec<String> = items(&credit["models"]).map(cell).collect();
    let mut header = vec![cell(&credit["by"])];
    for model in &models {
        header.extend([format!("{model}_conversions"), format!("{model}_revenue")]);
    }
    let row = |name: String, values: &Value| {
        let mut row = vec![name];
        for model in &models {
            row.extend([cell(&values[model]["conversions"]), cell(&values[model]["revenue"])]);
        }
        row
    };
    let mut rows: Vec<Vec<String>> =
        items(&credit["rows"]).map(|one| row(cell(&one["name"]), &one["values"])).collect();
    if credit["other"].is_object() {
        rows.push(row(
            format!("({} others)", credit["other"]["names"]),
            &credit["other"]["values"],
        ));
    }
    rows.push(row("(total)".into(), &credit["total"]));
    // Beside the total, as in the answer: with it they are all conversions [2.15].
    if credit["left_out"].as_object().is_some_and(|out| !out.is_empty()) {
        rows.push(row("(left out)".into(), &credit["left_out"]));
    }
    Table { header, rows }
}

fn paths(paths: &Value) -> Table {
    let header = ["path", "touches", "conversions", "revenue", "median_days"];
    let mut rows: Vec<Vec<String>> = items(&paths["rows"])
        .map(|one| {
            let steps: Vec<String> = items(&one["steps"]).map(cell).collect();
            let path = if steps.is_empty() { "(no touch)".to_owned() } else { steps.join(" > ") };
            let rest = ["touches", "conversions", "revenue", "days"].map(|name| cell(&one[name]));
            [path].into_iter().chain(rest).collect()
        })
        .collect();
    if paths["other"].is_object() {
        let other = &paths["other"];
        rows.push(vec![
            format!("({} others)", other["paths"]),
            String::new(),
            cell(&other["conversions"]),
            cell(&other["revenue"]),
            String::new(),
        ]);
    }
    let total = &paths["total"];
    rows.push(vec![
        "(total)".into(),
        String::new(),
        cell(&total["conversions"]),
        cell(&total["revenue"]),
        String::new(),
    ]);
    Table { header: header.map(str::to_owned).to_vec(), rows }
}

fn conversions(data: &Value) -> Table {
    let names = [
        "id",
        "name",
        "at",
        "date",
        "transaction_id",
        "revenue",
        "currency",
        "person",
        "touches",
        "lookback_complete",
    ];
    let mut header: Vec<String> = names.map(str::to_owned).to_vec();
    let mut models: Vec<String> = Vec::new();
    for model in items(&data["rows"])
        .filter_map(|row| row["credits"].as_object())
        .flat_map(|credits| credits.keys())
    {
        if !models.contains(model) {
            models.push(model.clone());
        }
    }
    models.sort();
    header.extend(models.iter().map(|model| format!("{model}_channel")));
    let rows = items(&data["rows"])
        .map(|row| {
            let own = names.iter().map(|name| cell(&row[*name]));
            own.chain(models.iter().map(|model| cell(&row["credits"][model]["channel"]))).collect()
        })
        .collect();
    Table { header, rows }
}

impl Table {
    pub(super) fn csv(&self) -> String {
        let line = |cells: &Vec<String>| {
            cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n"
        };
        std::iter::once(&self.header).chain(&self.rows).map(line).collect()
    }

    pub(super) fn markdown(&self) -> String {
        let escape = |cell: &String| {
            cell.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
        };
        let line = |cells: &Vec<String>| {
            format!("| {} |\n", cells.iter().map(escape).collect::<Vec<_>>().join(" | "))
        };
        let rule = format!("|{}\n", "---|".repeat(self.header.len()));
        let rows: String = self.rows.iter().map(line).collect();
        format!("{}{rule}{rows}", line(&self.header))
    }
}

/// A cell for CSV. One that a spreadsheet would run as a formula gets a `'` in front: names come from the web.
fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let risky = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let cell = if risky { format!("'{cell}") } else { cell.to_owned() };
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_do_no_harm() {
        let given = ["a,b", "say \"hi\"", "=1+1", "-5.5", "-x", "plain"];
        let told = ["\"a,b\"", "\"say \"\"hi\"\"\"", "'=1+1", "-5.5", "'-x", "plain"];
        assert_eq!(given.map(quoted), told);
    }
}
