//! The heads of columns that nobody named: as the question has them, not as the engine writes an expression.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{SelectItem, SetExpr, Statement as SqlStatement};

/// How the engine's names of expressions show that a literal is in them: `Utf8("a")`.
const LITERALS: [&str; 8] = [
    "Int64(",
    "UInt64(",
    "Float64(",
    "Utf8(",
    "Boolean(",
    "Decimal128(",
    "IntervalMonthDayNano(",
    "TimestampNanosecond(",
];

/// The plan with the heads that `statement` has, where the engine's own would be its names of types.
pub(crate) fn as_written(statement: &Statement, plan: LogicalPlan) -> LogicalPlan {
    let heads = written(statement);
    let is_inner = |name: &str| LITERALS.iter().any(|literal| name.contains(literal));
    let schema = plan.schema();
    if heads.len() != schema.fields().len() || !schema.fields().iter().any(|f| is_inner(f.name())) {
        return plan;
    }
    let columns = schema.iter().zip(heads).map(|((table, field), head)| {
        let column = Expr::Column(Column::new(table.cloned(), field.name()));
        match head {
            Some(head) if is_inner(field.name()) => column.alias(head),
            _ => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    let renamed =
        LogicalPlanBuilder::from(plan.clone()).project(columns).and_then(LogicalPlanBuilder::build);
    // Two columns would have one name.
    renamed.unwrap_or(plan)
}

/// The expressions that a question asks for, where they have no name; nothing where a `*` stands for some of them.
fn written(statement: &Statement) -> Vec<Option<String>> {
    let Statement::Statement(statement) = statement else { return Vec::new() };
    let SqlStatement::Query(query) = &**statement else { return Vec::new() };
    let SetExpr::Select(select) = &*query.body else { return Vec::new() };
    let head = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expression) => Some(Some(expression.to_string())),
        SelectItem::ExprWithAlias { .. } => Some(None),
        _ => None,
    };
    select.projection.iter().map(head).collect::<Option<_>>().unwrap_or_default()
}
