//! Lines that divide a file.

/// A line that may divide a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A word says what follows: `-- down`, `//@UNDO`.
    Word,
    /// `---`
    Rule,
}

/// Whether a line may divide a file.
pub fn dividing(line: &str) -> Option<Line> {
    const UNDOES: [&str; 7] = ["down", "undo", "rollback", "revert", "downgrade", "backward", "backwards"];
    /// A sentence tells of something else.
    const LONGEST: usize = 4;
    let line = line.trim();
    if !["--", "//", "#", "/*"].iter().any(|begin| line.starts_with(begin)) {
        return None;
    }
    if line.starts_with("--") && line.chars().all(|c| "-=*#~_ ".contains(c)) {
        return (line.chars().filter(|c| *c != ' ').count() >= 3).then_some(Line::Rule);
    }
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let undoes = |word: Option<&&str>| word.is_some_and(|w| UNDOES.iter().any(|u| w.eq_ignore_ascii_case(u)));
    (words.len() <= LONGEST && (undoes(words.first()) || undoes(words.last()))).then_some(Line::Word)
}
