//! What a rule looked at, and what the device had answered there.

use crate::author::Device;
use crate::normalise::Datum;
use crate::pmd::rule::{Column, Rule, Source};
use crate::snmp::{Absent, Answer, Oid};

/// Cells of a column that are told; the rest is counted.
const CELLS_MAX: usize = 12;

/// Each object with its answer, each field with its value. `row` is the name of the cell in the trace that the rule is for.
pub fn at(device: &Device, rule: &Rule, index: &[u32], row: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for when in &rule.when {
        lines.push(field(device, &when.field, row));
    }
    source(device, rule, index, row, &mut lines);
    lines
}

fn source(device: &Device, rule: &Rule, index: &[u32], row: Option<&str>, lines: &mut Vec<String>) {
    let context = rule.context.as_deref();
    match &rule.source {
        Source::Get(templates) => {
            lines.extend(
                templates.iter().map(|template| object(device, &template.oid(device.identity.device), context)),
            );
        }
        Source::Cell(column, _) => lines.push(object(device, &column.join(index), context)),
        Source::Column(column) => cells(device, column, context, lines),
        Source::Use(name) => lines.push(field(device, name, row)),
        Source::Sum(terms) | Source::Difference(terms) | Source::Product(terms) => {
            terms.iter().for_each(|term| source(device, term, index, row, lines));
        }
        Source::Const(_) | Source::Nth(_) | Source::Stop => {}
    }
}

fn object(device: &Device, oid: &Oid, context: Option<&str>) -> String {
    format!("{oid} {}", said(device.answers.get(context.unwrap_or_default(), oid)))
}

fn said(answer: Option<&Answer>) -> String {
    match answer {
        Some(Ok(value)) => format!("= {}", Datum::from(value).shown(None)),
        Some(Err(Absent::NoSuchObject | Absent::NoSuchInstance | Absent::EndOfMibView)) => "is not there".to_owned(),
        Some(Err(Absent::Refused)) => "was refused".to_owned(),
        Some(Err(Absent::NoAnswer)) => "got no answer".to_owned(),
        None => "is not there".to_owned(),
    }
}

/// The cells of the column, each with what its row's conditions looked at.
fn cells(device: &Device, column: &Column, context: Option<&str>, lines: &mut Vec<String>) {
    let context = context.unwrap_or_default();
    let all: Vec<(Vec<u32>, String)> = device
        .answers
        .under(context, &column.base)
        .filter(|(index, _)| !index.is_empty())
        .map(|(index, answer)| (index.to_vec(), said(Some(answer))))
        .collect();
    if all.is_empty() {
        lines.push(format!("{} has no rows", column.base));
    }
    for (index, said) in all.iter().take(CELLS_MAX) {
        let mut line = format!("{} {said}", column.base.join(index));
        for filter in column.filters.iter().filter(|filter| filter.column != column.base) {
            let own = &index[..filter.arcs.unwrap_or(index.len()).min(index.len())];
            let short = filter.column.arcs().last().copied().unwrap_or_default();
            let said = match device.answers.get(context, &filter.column.join(own)) {
                Some(Ok(value)) => Datum::from(value).shown(None),
                _ => "absent".to_owned(),
            };
            line += &format!(", column {short} {said}");
        }
        lines.push(line);
    }
    if all.len() > CELLS_MAX {
        lines.push(format!("and {} more rows", all.len() - CELLS_MAX));
    }
}

/// A field with its value; a bare name is a column of the same row.
fn field(device: &Device, name: &str, row: Option<&str>) -> String {
    let own = row.filter(|_| !name.contains('.')).and_then(|row| row.rsplit_once('.'));
    let key = own.map_or_else(|| name.to_owned(), |(front, _)| format!("{front}.{name}"));
    if let Some(known) = name.strip_prefix("device.") {
        let identity = &device.identity;
        let value = match known {
            "sys_object_id" => identity.sys_object_id.as_ref().map(Oid::to_string),
            "description" => identity.description.clone(),
            "name" => identity.name.clone(),
            "location" => identity.location.clone(),
            "device_id" => identity.device_id.clone(),
            _ => identity.device_description.clone(),
        };
        return value.map_or_else(|| format!("{name} is not there"), |value| format!("{name} = `{value}`"));
    }
    device.won(&key).map_or_else(|| format!("{name} has no value"), |(value, _)| format!("{name} = {value}"))
}
