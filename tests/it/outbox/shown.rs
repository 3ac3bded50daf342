//! What a person is shown before a batch leaves.

use crate::site::*;

/// Without the attributes of the batch that each sealing has of its own, and without these two blocks.
fn stripped(xml: &str) -> String {
    let mut text = xml.to_owned();
    let head = text.find('>').unwrap();
    let root = text[head + 1..].find('>').unwrap() + head + 1;
    for attribute in [" id=\"", " sequence=\"", " previous=\"", " created=\""] {
        if let Some(start) = text[..root].find(attribute) {
            let end = start + attribute.len() + text[start + attribute.len()..].find('"').unwrap() + 1;
            // the root ends where it did, with blanks for what is gone
            text.replace_range(start..end, &" ".repeat(end - start));
        }
    }
    for block in ["Chain", "Health"] {
        if let (Some(start), Some(end)) = (text.find(&format!("<{block}>")), text.find(&format!("</{block}>"))) {
            text.replace_range(start..end + block.len() + 3, "");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_preview_of_the_same_readings_differs_in_nothing_but_number_chain_and_health() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    for n in 0..3 {
        seal_one(&site, n, at(i64::from(n)));
    }
    let readings = || (0..120).map(|n| gathered(printer(n, at(100)))).collect::<Vec<_>>();
    let preview = site.preview(terms(at(100)), readings(), &end(at(110), 120), at(110)).unwrap();
    assert_eq!(site.items().unwrap().len(), 3, "a preview queues nothing");
    let mut sealer = site.sealer(terms(at(100))).unwrap();
    for reading in readings() {
        sealer.push(reading, at(120)).unwrap();
    }
    let sealed = sealer.finish(&end(at(110), 120), at(120)).unwrap().sequences;
    assert_eq!(preview.len(), sealed.len());
    for (preview, sequence) in preview.iter().zip(sealed) {
        let shown = String::from_utf8(site.show(sequence).unwrap().xml).unwrap();
        assert_ne!(*preview, shown);
        assert_eq!(stripped(preview), stripped(&shown), "batch {sequence}");
        assert!(stripped(&shown).contains("SERIAL") && !stripped(&shown).contains("<Chain>"), "{shown}");
    }
}
