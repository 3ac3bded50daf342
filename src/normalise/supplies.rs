//! Supplies: percentages, colours that only all rows together tell, and a vendor's own percentages laid over the rows of
//! the Printer-MIB (`walks/INDEX.md` section 2, traps T2 to T6).

use meterpost_wire::labels::Table;
use meterpost_wire::reading::{Count, LevelState, Supply};

use super::datum::Datum;
use super::eval::{Evaluator, Kind, Row};
use super::rows::{Rows, coded, each, integer, level, number, text};
use super::{evidence, label};
use crate::pmd::rule::Source;

/// A supply known only from a vendor's table counts from here (standards.md 1.3).
const VENDOR_INDEX: u32 = 1001;
/// Types that have one colour; waste boxes, fusers, belts and their like have none, whatever their index says.
const ONE_COLOR: [&str; 8] =
    ["toner", "tonerCartridge", "ink", "inkCartridge", "opc", "developer", "matteToner", "matteInk"];
/// Types of which a lone one is black.
const BLACK_ALONE: [&str; 4] = ["toner", "tonerCartridge", "ink", "inkCartridge"];

/// A row with what is needed until all rows are known.
struct Made {
    supply: Supply,
    set: String,
    over: Option<String>,
    fills: bool,
    written_out: bool,
    /// The type by whose place the colour is taken.
    nth: Option<String>,
}

/// All supplies.
pub fn supplies(eval: &Evaluator<'_>) -> Rows<Supply> {
    let Rows { mapped, rows: mut made, lost } = each(eval, "supplies", |row| make(eval, row));
    color_by_place(&mut made);
    color_the_lone(eval, &mut made);
    let mut supplies = lay_over(made);
    for (index, supply) in (VENDOR_INDEX..).zip(supplies.iter_mut().filter(|supply| supply.index == 0)) {
        supply.index = index;
    }
    Rows { mapped: mapped || !supplies.is_empty(), rows: supplies, lost }
}

fn make(eval: &Evaluator<'_>, row: Row<'_>) -> Option<Made> {
    let kind = coded(eval, row, "type", Table::SupplyType);
    let class = coded(eval, row, "class", Table::SupplyClass);
    let unit = coded(eval, row, "unit", Table::SupplyUnit);
    let max = eval.cell(row, "max_capacity", Kind::Level);
    let now = eval.cell(row, "level", Kind::Level);
    let own = eval.cell(row, "percent", Kind::Level);
    let (mut max_capacity, max_capacity_state) = max.as_ref().map_or((None, None), |won| level(&won.value));
    max_capacity = max_capacity.filter(|max| *max > 0);
    let (mut level_now, mut level_state) = now.as_ref().map_or((None, None), |won| level(&won.value));

    let unit_label = unit.as_ref().map_or("", |unit| unit.label.as_str());
    let full = max_capacity_state.filter(|state| *state == LevelState::Known).and(max_capacity);
    let is_receptacle =
        is_receptacle(class.as_ref().map(|c| c.label.as_str()), kind.as_ref().map(|k| k.label.as_str()));
    if row.set.used && is_receptacle {
        let whole = if unit_label == "percent" { Some(full.unwrap_or(100)) } else { full };
        level_now = whole.zip(level_now).and_then(|(full, used)| full.checked_sub(used));
    }
    let mut percent = percent(unit_label, full, level_now);
    let own_percent = own.is_some();
    if let Some(won) = &own {
        match level(&won.value) {
            (Some(n), _) if n <= 100 => {
                let n = if row.set.used && is_receptacle { 100 - n } else { n };
                percent = u8::try_from(n).ok();
                level_state = Some(LevelState::Known);
            }
            (None, Some(state)) => level_state = level_state.or(Some(state)),
            _ => {}
        }
    }
    let written_out = row.set.rows.is_empty();
    if written_out && level_state.is_none() {
        return None;
    }
    let is_colored = kind.as_ref().is_none_or(|kind| ONE_COLOR.contains(&kind.label.as_str()));
    let colorant = if is_colored { eval.cell(row, "colorant", Kind::Text).map(|won| won.value) } else { None };
    let nth = row.set.column("colorant").iter().find_map(|rule| match &rule.source {
        Source::Nth(kind) => Some(kind.clone()),
        _ => None,
    });
    let count = |column: &str| {
        let won = eval.cell(row, column, Kind::Count)?;
        let Datum::Int(value) = won.value else { return None };
        let basis = if won.derived { meterpost_wire::reading::Basis::Derived } else { Default::default() };
        Some(Count { value: value.unsigned_abs(), basis, evidence: evidence(&won, eval), unit: None, detail: None })
    };
    let source = if own_percent { own.as_ref() } else { now.as_ref() };
    let supply = Supply {
        index: if written_out { 0 } else { number(row) },
        marker_index: integer(eval, row, "marker_index").and_then(|n| u32::try_from(n).ok()),
        description: text(eval, row, "description"),
        colorant: colorant.and_then(|datum| match datum {
            Datum::Text(word) => Some(word),
            _ => None,
        }),
        colorant_role: eval
            .cell(row, "colorant_role", Kind::Any)
            .and_then(|won| label(&won.value, Table::ColorantRole)),
        max_capacity,
        max_capacity_state,
        level: level_now,
        level_state,
        percent,
        serial_number: text(eval, row, "serial_number"),
        part_number: text(eval, row, "part_number"),
        impressions_since_installed: count("impressions_since_installed"),
        impressions_remaining: count("impressions_remaining"),
        evidence: source.map(|won| evidence(won, eval)).unwrap_or_default(),
        kind,
        class,
        unit,
        ..Supply::default()
    };
    Some(Made { supply, set: row.set.name.clone(), over: row.set.over.clone(), fills: row.set.fills, written_out, nth })
}

/// What is left in percent, whole, rounded half up: the level itself when the unit or the capacity says so, else its
/// share of the capacity. Nothing when it cannot be computed or lies outside 0 to 100 (trap T3).
fn percent(unit: &str, full: Option<u64>, level: Option<u64>) -> Option<u8> {
    let level = level?;
    let percent = match (unit, full) {
        ("percent", _) | (_, Some(100)) => level,
        (_, Some(full)) if full > 0 => level.checked_mul(200)?.checked_add(full)? / (full * 2),
        _ => return None,
    };
    u8::try_from(percent).ok().filter(|percent| *percent <= 100)
}

/// By class, else by type (trap T4).
fn is_receptacle(class: Option<&str>, kind: Option<&str>) -> bool {
    match class {
        Some("receptacleThatIsFilled") => true,
        Some("supplyThatIsConsumed") => false,
        _ => kind.is_some_and(|kind| kind.starts_with("waste")),
    }
}

/// The one use of position: a drum without a colour takes that of the toner at the same place (trap T5).
fn color_by_place(made: &mut [Made]) {
    let kind = |made: &Made| made.supply.kind.as_ref().map(|kind| kind.label.clone()).unwrap_or_default();
    let named: Vec<(String, String)> = made.iter().map(|m| (m.set.clone(), kind(m))).collect();
    let colors: Vec<Option<String>> = made.iter().map(|m| m.supply.colorant.clone()).collect();
    for at in 0..made.len() {
        let Some(model) = made[at].nth.clone() else { continue };
        if colors[at].is_some() || !ONE_COLOR.contains(&named[at].1.as_str()) || alike(&named[at].1, &model) {
            continue;
        }
        let place = (0..at).filter(|n| named[*n] == named[at]).count();
        let same_set = |n: &usize| named[*n].0 == named[at].0;
        let own: Vec<usize> = (0..made.len()).filter(same_set).filter(|n| named[*n].1 == named[at].1).collect();
        let models: Vec<usize> = (0..made.len()).filter(same_set).filter(|n| alike(&named[*n].1, &model)).collect();
        if own.len() == models.len() && own.len() > 1 {
            made[at].supply.colorant.clone_from(&colors[models[place]]);
        }
    }
}

/// A toner or ink row that nothing colours is black when it is the only one, or the device has one process colorant.
fn color_the_lone(eval: &Evaluator<'_>, made: &mut [Made]) {
    let monochrome = eval.field("let.process_colorants", Kind::Any).and_then(|won| won.value.number()) == Some(1.0);
    let is_inky = |m: &Made| m.supply.kind.as_ref().is_some_and(|kind| BLACK_ALONE.contains(&kind.label.as_str()));
    // the same toner may stand in the Printer-MIB and in a vendor's table
    let lone = made
        .iter()
        .filter(|m| is_inky(m))
        .all(|one| made.iter().filter(|m| m.set == one.set && is_inky(m)).count() == 1);
    for m in made.iter_mut().filter(|m| is_inky(m) && m.supply.colorant.is_none()) {
        if (lone && !m.written_out) || monochrome {
            m.supply.colorant = Some("black".to_owned());
        }
    }
}

/// Lays rows of sets with `over` over the rows of that set; what fits none becomes a row of its own, save in a set that
/// only fills.
fn lay_over(made: Vec<Made>) -> Vec<Supply> {
    let (overs, mut bases): (Vec<Made>, Vec<Made>) = made.into_iter().partition(|m| m.over.is_some());
    for top in overs {
        let fitting = same_thing(&bases, &top);
        for at in &fitting {
            let row = &mut bases[*at].supply;
            // nobody has proven what an unverified percentage means: it does not take the place of one that is computed
            let is_better = row.percent.is_none() || !(top.fills || top.supply.evidence.unverified);
            if top.supply.percent.is_some() && is_better {
                row.percent = top.supply.percent;
                row.level_state = Some(LevelState::Known);
                row.evidence = top.supply.evidence.clone();
            } else if row.level.is_none() {
                row.level_state = top.supply.level_state.or(row.level_state);
            }
            row.part_number = row.part_number.take().or(top.supply.part_number.clone());
            row.serial_number = row.serial_number.take().or(top.supply.serial_number.clone());
            row.impressions_remaining = row.impressions_remaining.take().or(top.supply.impressions_remaining.clone());
            row.impressions_since_installed =
                row.impressions_since_installed.take().or(top.supply.impressions_since_installed.clone());
        }
        if fitting.is_empty() && !top.fills {
            let mut own = top;
            own.supply.index = 0; // no row of the Printer-MIB: numbered by us
            bases.push(own);
        }
    }
    bases.into_iter().map(|m| m.supply).collect()
}

/// The rows that a vendor's row speaks of: the same type and colour. Where these tell too little (several toners that no word
/// colours, things of type `other`), the same description, or none of them.
fn same_thing(bases: &[Made], top: &Made) -> Vec<usize> {
    let kind = |m: &Made| m.supply.kind.as_ref().map(|kind| kind.label.clone()).unwrap_or_default();
    let name = |m: &Made| m.supply.description.as_ref().map(|text| text.to_lowercase());
    let (own_kind, own_name) = (kind(top), name(top));
    let of_kind = |at: &usize| Some(&bases[*at].set) == top.over.as_ref() && alike(&kind(&bases[*at]), &own_kind);
    let same_color = |at: &usize| bases[*at].supply.colorant == top.supply.colorant;
    let is_named = |at: &usize| own_name.is_some() && name(&bases[*at]) == own_name;
    let fit: Vec<usize> = (0..bases.len())
        .filter(of_kind)
        .filter(|at| same_color(at) || (top.supply.colorant.is_none() && is_named(at)))
        .collect();
    let named: Vec<usize> = fit.iter().copied().filter(is_named).collect();
    // several inks of which one lost its colour look like one of a kind: what only fills must say which it means
    let is_one_of_many = own_kind == "other" || (top.fills && ONE_COLOR.contains(&own_kind.as_str()));
    let tells = top.supply.colorant.is_some() || (fit.len() == 1 && !is_one_of_many);
    match (named.is_empty(), tells) {
        (false, _) => named,
        (true, true) => fit,
        (true, false) => Vec::new(),
    }
}

/// Types that one device calls this and another that.
fn alike(a: &str, b: &str) -> bool {
    let base = |kind: &str| match kind {
        "tonerCartridge" => "toner".to_owned(),
        "inkCartridge" => "ink".to_owned(),
        other => other.to_owned(),
    };
    base(a) == base(b)
}
