//! What README prints is what the programs print: numbers, ids and bars aside.

use std::{fs, path::Path, process::Command};

use tests::{Parts, System, eventually, throughline};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The output printed below `command` in README.
fn printed(readme: &str, command: &str) -> String {
    let (_, after) =
        readme.split_once(&format!("$ {command}\n")).unwrap_or_else(|| panic!("README has no `{command}`"));
    after
        .split("```")
        .next()
        .expect("split gives one")
        .split("\n$ ")
        .next()
        .expect("split gives one")
        .to_owned()
}

/// The words, each number or id a `#`, without the bars of the waterfall, whose lengths are the times, and without the rows of waits
/// that no span tells of: they are there where they were long.
fn words(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.contains('┄'))
        .flat_map(str::split_whitespace)
        .filter(|word| !word.chars().all(|c| "█░".contains(c)))
        .map(|word| {
            let pieces = word.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
            let masked = pieces.map(|piece| {
                let (body, end) = match piece.char_indices().next_back() {
                    Some((at, last)) if !last.is_ascii_alphanumeric() => piece.split_at(at),
                    _ => (piece, ""),
                };
                // A group of an id may happen to have letters only.
                let id = body.len() >= 4 && body.bytes().all(|b| matches!(b, b'a'..=b'f'));
                let number = id || body.bytes().any(|b| b.is_ascii_digit());
                format!("{}{end}", if number { "#" } else { body })
            });
            masked.collect::<String>().replace("#.#", "#")
        })
        .collect()
}

/// The tree, and the verdict beneath it: how large a share is, and so where it stands and whether it is told, is a time as well.
fn foot_apart(story: &str) -> (&str, &str) {
    let at = story.find("\nverdict ").unwrap_or_else(|| panic!("no verdict: {story}"));
    story.split_at(at + 1)
}

/// What each line of a verdict is about, and the sum of its shares.
fn per_cent(verdict: &str) -> Vec<(String, u64)> {
    let mut lines: Vec<(String, u64)> = Vec::new();
    for line in verdict.trim_end().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            lines.push((words[0].to_owned(), 0));
        }
        let shares = words.windows(2).filter(|two| two[1] == "%").map(|two| two[0].parse::<u64>());
        lines.last_mut().expect("the first line has a label").1 +=
            shares.map(|share| share.expect("a number")).sum::<u64>();
    }
    lines
}

#[tokio::test]
async fn the_first_story_is_what_up_tells() {
    // The embedded parts: what README begins with.
    let system = System::builder().parts(Parts::Embedded).start().await;
    let told = eventually("the first story", async || {
        let story = system.events("story").pop().and_then(|event| event["story"].as_str().map(str::to_owned));
        story.ok_or("none yet")
    })
    .await;
    let readme = readme();
    let in_readme = printed(&readme, "cargo run --release -- up");
    let both = format!("README prints\n{in_readme}\nand `up` tells\n{told}");
    let ((printed, printed_verdict), (told, told_verdict)) = (foot_apart(&in_readme), foot_apart(&told));
    assert_eq!(words(printed), words(told), "{both}");
    let adding_up = [("verdict".to_owned(), 100), ("later".to_owned(), 100)];
    assert_eq!(per_cent(printed_verdict), adding_up, "{both}");
    assert_eq!(per_cent(told_verdict), adding_up, "{both}");
}

#[test]
fn every_command_named_is_there() {
    let readme = readme();
    let mut named: Vec<_> = readme
        .split("`throughline ")
        .skip(1)
        .map(|rest| rest.split([' ', '`']).next().expect("split gives one"))
        .collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() >= 8, "{named:?}");
    for command in named {
        let help = Command::new(throughline())
            .args([command, "--help"])
            .output()
            .expect("the binary can be started");
        assert!(help.status.success(), "`throughline {command} --help`: {help:?}");
    }
}
