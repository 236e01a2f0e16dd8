//! Whether a model can be computed key by key.
//!
//! A plan is *local* to a key when, for every value k of it, its rows for k depend only on input rows for
//! k. Then the plan may be run for some keys (live, the last days) or for ranges of keys (to bound memory)
//! and the result is what one run over everything would give. The check walks the plan; what it does not
//! know to be local, it refuses, with the reason.

use std::collections::BTreeSet;

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

/// What is known of a plan's rows.
enum Rows {
    /// The same for every key: seeds and small models without the key.
    Shared,
    /// By key; these output columns hold it.
    Keyed(BTreeSet<Column>),
}

/// See [`super::Plan::check_local`].
pub(crate) fn check(
    plan: &LogicalPlan,
    key: &str,
    keyed: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    let checker = Checker { key, keyed };
    match checker.rows(plan)? {
        Rows::Shared => Err(format!("it does not read any table with the key `{key}`")),
        Rows::Keyed(columns) if columns.iter().any(|column| column.name == key) => Ok(()),
        Rows::Keyed(_) => Err(format!("its result does not hold the key `{key}`")),
    }
}

struct Checker<'a> {
    key: &'a str,
    keyed: &'a dyn Fn(&str) -> bool,
}

impl Checker<'_> {
    fn rows(&self, plan: &LogicalPlan) -> Result<Rows, String> {
        self.check_expressions(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                if !(self.keyed)(&scan.table_name.to_string()) {
                    return Ok(Rows::Shared);
                }
                let columns =
                    plan.schema().columns().into_iter().filter(|column| column.name == self.key);
                Ok(Rows::Keyed(columns.collect()))
            }
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(Rows::Shared),
            LogicalPlan::Projection(projection) => {
                let input = self.rows(&projection.input)?;
                Ok(self.renamed(input, plan, &projection.expr))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.rows(&alias.input)?;
                let Rows::Keyed(inner) = input else { return Ok(input) };
                let outer = plan.schema().columns();
                let inside = alias.input.schema().columns();
                Ok(Rows::Keyed(
                    inside
                        .iter()
                        .zip(outer)
                        .filter(|(column, _)| inner.contains(column))
                        .map(|(_, outer)| outer)
                        .collect(),
                ))
            }
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Repartition(_) => {
                if let LogicalPlan::Sort(sort) = plan
                    && sort.fetch.is_some()
                {
                    return Err("it has a LIMIT over all rows".into());
                }
                self.rows(plan.inputs()[0])
            }
            LogicalPlan::Aggregate(aggregate) => {
                let Rows::Keyed(input) = self.rows(&aggregate.input)? else {
                    return Ok(Rows::Shared);
                };
                let columns: BTreeSet<Column> = aggregate
                    .group_expr
                    .iter()
                    .zip(plan.schema().columns())
                    .filter(|(expression, _)| is_key(expression, &input))
                    .map(|(_, column)| column)
                    .collect();
                self.need(columns, "a GROUP BY (or aggregate) does not include it")
            }
            LogicalPlan::Distinct(_) => {
                let Rows::Keyed(input) = self.rows(plan.inputs()[0])? else {
                    return Ok(Rows::Shared);
                };
                self.need(input, "a DISTINCT does not include it")
            }
            LogicalPlan::Window(window) => {
                let Rows::Keyed(input) = self.rows(&window.input)? else { return Ok(Rows::Shared) };
                for expression in &window.window_expr {
                    if !partitioned_by_key(expression, &input) {
                        return Err(format!(
                            "a window function is not PARTITION BY `{}`",
                            self.key
                        ));
                    }
                }
                Ok(Rows::Keyed(input))
            }
            LogicalPlan::Join(join) => self.join(join, plan),
            LogicalPlan::Union(union) => {
                let mut common: Option<BTreeSet<usize>> = None;
                let mut shared = 0;
                for input in &union.inputs {
                    let columns = input.schema().columns();
                    match self.rows(input)? {
                        Rows::Shared => shared += 1,
                        Rows::Keyed(keys) => {
                            let positions: BTreeSet<usize> = (0..columns.len())
                                .filter(|&index| keys.contains(&columns[index]))
                                .collect();
                            common = Some(match common {
                                None => positions,
                                Some(known) => known.intersection(&positions).copied().collect(),
                            });
                        }
                    }
                }
                let Some(positions) = common else { return Ok(Rows::Shared) };
                if shared > 0 {
                    // Rows without a key would be repeated for every range of keys.
                    return Err("a UNION adds rows that belong to no key".into());
                }
                let columns = plan.schema().columns();
                self.need(
                    positions.into_iter().map(|index| columns[index].clone()).collect(),
                    "a UNION does not keep it in one column",
                )
            }
            LogicalPlan::Limit(_) => Err("it has a LIMIT over all rows".into()),
            other => match other.inputs().as_slice() {
                [] => Ok(Rows::Shared),
                _ => Err(format!(
                    "it has a step that can't be done key by key ({})",
                    other.display()
                )),
            },
        }
    }

    fn need(&self, columns: BTreeSet<Column>, otherwise: &str) -> Result<Rows, String> {
        if columns.is_empty() {
            return Err(format!("{otherwise}: `{}`", self.key));
        }
        Ok(Rows::Keyed(columns))
    }

    fn renamed(&self, input: Rows, plan: &LogicalPlan, expressions: &[Expr]) -> Rows {
        let Rows::Keyed(keys) = input else { return input };
        Rows::Keyed(
            expressions
                .iter()
                .zip(plan.schema().columns())
                .filter(|(expression, _)| is_key(expression, &keys))
                .map(|(_, column)| column)
                .collect(),
        )
    }

    fn join(
        &self,
        join: &datafusion::logical_expr::Join,
        plan: &LogicalPlan,
    ) -> Result<Rows, String> {
        let (left, right) = (self.rows(&join.left)?, self.rows(&join.right)?);
        let output: BTreeSet<Column> = plan.schema().columns().into_iter().collect();
        let visible =
            |keys: BTreeSet<Column>| keys.into_iter().filter(|key| output.contains(key)).collect();
        match (left, right) {
            (Rows::Shared, Rows::Shared) => Ok(Rows::Shared),
            (Rows::Keyed(keys), Rows::Shared) => match join.join_type {
                // Rows of the shared side would come out once per key range.
                JoinType::Right
                | JoinType::Full
                | JoinType::RightSemi
                | JoinType::RightAnti
                | JoinType::RightMark => {
                    Err("an outer join keeps rows of a table without the key".into())
                }
                _ => Ok(Rows::Keyed(visible(keys))),
            },
            (Rows::Shared, Rows::Keyed(keys)) => match join.join_type {
                JoinType::Left
                | JoinType::Full
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark => {
                    Err("an outer join keeps rows of a table without the key".into())
                }
                _ => Ok(Rows::Keyed(visible(keys))),
            },
            (Rows::Keyed(left), Rows::Keyed(right)) => {
                let joined =
                    join.on.iter().any(|(one, other)| is_key(one, &left) && is_key(other, &right));
                if !joined {
                    return Err(format!("a join is not on `{}`", self.key));
                }
                // After an outer join the key of the other side may be null, and so is no key.
                let keys: BTreeSet<Column> = match join.join_type {
                    JoinType::Inner => left.union(&right).cloned().collect(),
                    JoinType::Right
                    | JoinType::RightSemi
                    | JoinType::RightAnti
                    | JoinType::RightMark => right,
                    JoinType::Full => BTreeSet::new(),
                    _ => left,
                };
                Ok(Rows::Keyed(visible(keys)))
            }
        }
    }

    fn check_expressions(&self, plan: &LogicalPlan) -> Result<(), String> {
        let mut problem = None;
        for expression in plan.expressions() {
            let _ = datafusion::common::tree_node::TreeNode::apply(&expression, |node| {
                use datafusion::common::tree_node::TreeNodeRecursion;
                match node {
                    Expr::ScalarFunction(function)
                        if function.func.signature().volatility == Volatility::Volatile =>
                    {
                        problem =
                            Some(format!("`{}()` gives another value each time", function.name()));
                    }
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
                        problem = Some("it has a subquery that was not turned into a join".into());
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        problem.map_or(Ok(()), Err)
    }
}

fn is_key(expression: &Expr, keys: &BTreeSet<Column>) -> bool {
    match expression {
        Expr::Column(column) => keys.contains(column),
        Expr::Alias(alias) => is_key(&alias.expr, keys),
        // A date spelled differently is the same day: equal keys stay equal, different ones different.
        Expr::Cast(cast) => is_key(&cast.expr, keys),
        Expr::ScalarFunction(function) if function.name() == "to_date" => {
            let (first, rest) = (function.args.first(), function.args.get(1..).unwrap_or_default());
            first.is_some_and(|first| is_key(first, keys))
                && rest.iter().all(|argument| matches!(argument, Expr::Literal(_, _)))
        }
        _ => false,
    }
}

fn partitioned_by_key(expression: &Expr, keys: &BTreeSet<Column>) -> bool {
    match expression {
        Expr::Alias(alias) => partitioned_by_key(&alias.expr, keys),
        Expr::WindowFunction(function) => {
            let WindowFunctionParams { partition_by, .. } = &function.params;
            partition_by.iter().any(|expression| is_key(expression, keys))
        }
        _ => false,
    }
}
