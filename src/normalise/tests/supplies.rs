//! Supplies: types and colours by words, index and place; a vendor's percentages over the rows of the Printer-MIB.

use super::check;

const SUPPLIES: &str = r#"
    [supplies.printer-mib]
    table = "1.3.6.1.2.1.43.11.1.1"
    rows = [6, 5, 7, 8, 9]
    class = { column = 4, labels = "supply_class" }
    type = [{ column = 5, labels = "supply_type", not = [1, 2] }, { use = "description", words = "supply_types" }, { const = "other" }]
    colorant = [{ column = 3, at = "1.3.6.1.2.1.43.12.1.1.4.{device}.{value}", words = "colorants" }, { use = "description", words = "colorants" }, { nth = "toner" }]
    description = { column = 6 }
    unit = { column = 7, labels = "supply_unit" }
    max_capacity = { column = 8 }
    level = { column = 9 }
"#;

/// A row of prtMarkerSuppliesTable: index, class, type, description, unit, capacity, level.
fn supply(n: u32, class: i64, kind: i64, description: &str, unit: i64, max: i64, level: i64) -> String {
    let cell = |column: u32, kind: &str, value: &str| format!("1.3.6.1.2.1.43.11.1.1.{column}.1.{n}|{kind}|{value}\n");
    cell(4, "2", &class.to_string())
        + &cell(5, "2", &kind.to_string())
        + &cell(6, "4", description)
        + &cell(7, "2", &unit.to_string())
        + &cell(8, "2", &max.to_string())
        + &cell(9, "2", &level.to_string())
}

#[test]
fn words_of_many_languages_give_types_and_colours() {
    let walk = supply(1, 3, 1, "Schwarze Tonerkassette", 7, 12000, 11501)
        + &supply(2, 3, 1, "碳粉 青", 19, -2, 40)
        + &supply(3, 4, 1, "Resttonerbehälter", 7, -2, -3)
        + &supply(4, 3, 1, "Papiereinzugsrolle", 7, 60000, 26174)
        + &supply(5, 3, 3, "Matte Black", 7, 100, 3);
    check(
        SUPPLIES,
        &walk,
        &[
            "1 toner black level 11501 96% known `Schwarze Tonerkassette`",
            "2 toner cyan level 40 40% known `碳粉 青`",
            "3 wasteToner some_remaining `Resttonerbehälter`",
            "4 other level 26174 44% known `Papiereinzugsrolle`",
            "5 toner matte-black level 3 3% known `Matte Black`",
        ],
    );
}

#[test]
fn a_colour_comes_by_the_colorant_index_from_another_table() {
    let walk = supply(1, 3, 3, "Toner A", 19, 100, 9) + &supply(2, 3, 3, "Toner B", 19, 100, 9);
    let walk = walk
        + "1.3.6.1.2.1.43.11.1.1.3.1.1|2|2\n1.3.6.1.2.1.43.11.1.1.3.1.2|2|0\n1.3.6.1.2.1.43.12.1.1.4.1.2|4x|7965656c6c6f7700";
    let walk = walk.replace("7965656c6c6f7700", "79656c6c6f7700");
    check(SUPPLIES, &walk, &["1 toner yellow level 9 9% known `Toner A`", "2 toner level 9 9% known `Toner B`"]);
}

#[test]
fn drums_take_their_colour_from_the_toner_at_the_same_place() {
    let walk = supply(1, 3, 3, "Cyan", 19, 100, 9)
        + &supply(2, 3, 3, "Black", 19, 100, 9)
        + &supply(3, 3, 9, "Drum", 1, 100, 8)
        + &supply(4, 3, 9, "Drum", 1, 100, 7);
    check(
        SUPPLIES,
        &walk,
        &[
            "1 toner cyan level 9 9% known `Cyan`",
            "2 toner black level 9 9% known `Black`",
            "3 opc cyan level 8 8% known `Drum`",
            "4 opc black level 7 7% known `Drum`",
        ],
    );
}

#[test]
fn a_lone_toner_is_black_and_a_lone_drum_and_a_waste_box_have_no_colour() {
    let walk = supply(1, 3, 21, "TK-1160", 7, 7200, -2)
        + &supply(2, 3, 9, "Drum", 7, -2, 9)
        + &supply(5, 4, 4, "Black waste", 1, 1, -2);
    check(
        SUPPLIES,
        &walk,
        &[
            "1 tonerCartridge black unknown `TK-1160`",
            "2 opc level 9 known `Drum`",
            "5 wasteToner unknown `Black waste`",
        ],
    );
}

#[test]
fn a_vendors_percentage_is_laid_over_the_row_of_the_same_thing() {
    let pmd = format!(
        "{SUPPLIES}
        [supplies.black]
        over = \"printer-mib\"
        type = {{ const = \"toner\" }}
        colorant = {{ const = \"black\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\", tlv = {{ tag = \"6f\", length = 4 }}, scale = 0.01 }}
        [supplies.belt]
        over = \"printer-mib\"
        type = {{ const = \"transferUnit\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\", tlv = {{ tag = \"69\", length = 4 }}, scale = 0.01 }}
        [supplies.fuser]
        over = \"printer-mib\"
        type = {{ const = \"fuser\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\", tlv = {{ tag = \"6a\", length = 4 }}, scale = 0.01 }}"
    );
    let walk = supply(1, 3, 21, "Black Toner", 19, -2, -3) + "1.3.6.1.4.1.9999.8.0|4x|6f010400001c8469010400001388ff";
    check(&pmd, &walk, &["1 tonerCartridge black 73% known `Black Toner`", "1001 transferUnit 50% known"]);
}

#[test]
fn a_vendors_row_without_a_colour_goes_by_its_description_and_never_over_several_things() {
    let pmd = format!(
        "{SUPPLIES}
        [supplies.private]
        table = \"1.3.6.1.4.1.9999.24\"
        rows = [2]
        over = \"printer-mib\"
        type = {{ const = \"toner\" }}
        description = {{ column = 2 }}
        percent = {{ column = 5 }}
        [supplies.kit]
        over = \"printer-mib\"
        type = {{ const = \"other\" }}
        description = {{ const = \"PF kit MP\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\" }}
        [supplies.drum]
        over = \"printer-mib\"
        type = {{ const = \"opc\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.9.0\" }}"
    );
    let walk = supply(1, 3, 21, "Toner A", 7, -2, -3)
        + &supply(2, 3, 21, "Toner B", 7, -2, -3)
        + &supply(3, 3, 1, "Feed roller", 7, -2, -3)
        + &supply(4, 3, 1, "PF Kit MP", 7, -2, -3)
        + &supply(5, 3, 9, "Drum 1", 7, -2, -3)
        + &supply(6, 3, 9, "Drum 2", 7, -2, -3)
        + "1.3.6.1.4.1.9999.8.0|2|61\n1.3.6.1.4.1.9999.9.0|2|70\n"
        + "1.3.6.1.4.1.9999.24.2.7|4|Toner B\n1.3.6.1.4.1.9999.24.5.7|2|30\n";
    check(
        &pmd,
        &walk,
        &[
            "1 tonerCartridge some_remaining `Toner A`",
            "2 tonerCartridge 30% known `Toner B`",
            "3 other some_remaining `Feed roller`",
            "4 other 61% known `PF Kit MP`",
            "5 opc some_remaining `Drum 1`",
            "6 opc some_remaining `Drum 2`",
            "1001 opc 70% known",
        ],
    );
}

#[test]
fn a_set_that_fills_tells_more_about_rows_that_are_there_and_makes_none() {
    let pmd = format!(
        "{SUPPLIES}
        [supplies.private]
        table = \"1.3.6.1.4.1.9999.24\"
        rows = [2]
        over = \"printer-mib\"
        fills = true
        type = {{ const = \"toner\" }}
        colorant = {{ column = 2, words = \"colorants\" }}
        percent = {{ column = 5 }}"
    );
    let walk = supply(1, 3, 21, "Cyan", 7, -2, -3)
        + &supply(2, 3, 21, "Black", 7, 1000, 250)
        + "1.3.6.1.4.1.9999.24.2.1|4|Cyan\n1.3.6.1.4.1.9999.24.5.1|2|30\n"
        + "1.3.6.1.4.1.9999.24.2.2|4|Black\n1.3.6.1.4.1.9999.24.5.2|2|99\n"
        + "1.3.6.1.4.1.9999.24.2.3|4|Yellow\n1.3.6.1.4.1.9999.24.5.3|2|50\n";
    check(
        &pmd,
        &walk,
        &["1 tonerCartridge cyan 30% known `Cyan`", "2 tonerCartridge black level 250 25% known `Black`"],
    );
}

#[test]
fn an_unverified_percentage_stands_only_where_none_is_computed() {
    let pmd = format!(
        "{SUPPLIES}
        [supplies.cyan]
        over = \"printer-mib\"
        type = {{ const = \"toner\" }}
        colorant = {{ const = \"cyan\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\", confidence = \"unverified\" }}
        [supplies.black]
        over = \"printer-mib\"
        type = {{ const = \"toner\" }}
        colorant = {{ const = \"black\" }}
        percent = {{ get = \"1.3.6.1.4.1.9999.8.0\", confidence = \"unverified\" }}"
    );
    let walk =
        supply(1, 3, 21, "Cyan", 7, -2, -3) + &supply(2, 3, 21, "Black", 7, 1000, 250) + "1.3.6.1.4.1.9999.8.0|2|61\n";
    check(
        &pmd,
        &walk,
        &["1 tonerCartridge cyan 61% known `Cyan`", "2 tonerCartridge black level 250 25% known `Black`"],
    );
}

#[test]
fn a_receptacle_that_counts_what_is_used_is_turned_round() {
    let pmd = format!("{SUPPLIES}\nreceptacles = \"used\"");
    let walk = supply(1, 4, 4, "Waste", 19, 100, 77) + &supply(2, 3, 15, "Fuser", 19, 100, 77);
    check(&pmd, &walk, &["1 wasteToner level 23 23% known `Waste`", "2 fuser level 77 77% known `Fuser`"]);
}
