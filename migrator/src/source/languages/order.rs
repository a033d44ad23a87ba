//! The order of Alembic's migrations: each names the one before it.

use std::collections::HashMap;
use std::path::PathBuf;

/// Puts migrations that name the one before them into that order, in the places that they have together.
pub fn in_order_of_revisions<T>(files: Vec<(PathBuf, T)>, text: impl Fn(&T) -> Option<&str>) -> Vec<(PathBuf, T)> {
    let revisions: Vec<Option<(String, Vec<String>)>> = files.iter().map(|(_, t)| text(t).and_then(revision)).collect();
    let by_name: HashMap<&str, usize> =
        revisions.iter().enumerate().filter_map(|(n, r)| Some((r.as_ref()?.0.as_str(), n))).collect();
    if by_name.len() < 2 {
        return files;
    }
    let mut depths: Vec<Option<usize>> = vec![None; files.len()];
    for start in by_name.values().copied() {
        // down to one whose place is known, and up again
        let (mut way, mut at) = (vec![], Some(start));
        while let Some(n) = at.filter(|n| depths[*n].is_none() && !way.contains(n)) {
            way.push(n);
            let before =
                revisions[n].iter().flat_map(|(_, before)| before).filter_map(|b| by_name.get(b.as_str()).copied());
            at = before.filter(|b| depths[*b].is_none()).chain(std::iter::empty()).next();
        }
        for n in way.into_iter().rev() {
            let before =
                revisions[n].iter().flat_map(|(_, before)| before).filter_map(|b| by_name.get(b.as_str()).copied());
            depths[n] = Some(before.filter_map(|b| depths[b]).max().map_or(0, |d| d + 1));
        }
    }
    let places: Vec<usize> = (0..files.len()).filter(|n| depths[*n].is_some()).collect();
    let mut ordered = places.clone();
    ordered.sort_by_key(|n| (depths[*n], *n));
    let mut files: Vec<Option<(PathBuf, T)>> = files.into_iter().map(Some).collect();
    let mut moved: Vec<Option<(PathBuf, T)>> = ordered.into_iter().map(|n| files[n].take()).collect();
    for (place, file) in places.into_iter().zip(&mut moved) {
        files[place] = file.take();
    }
    files.into_iter().flatten().collect()
}

/// `revision = "a"` and `down_revision = "b"` of a file.
fn revision(text: &str) -> Option<(String, Vec<String>)> {
    let assigned = |name: &str| {
        let line = text
            .lines()
            .find(|l| l.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['=', ':'])))?;
        let value = line.split_once('=')?.1;
        let parts = value.split(['"', '\'']).skip(1).step_by(2);
        Some(parts.map(str::to_owned).collect::<Vec<_>>())
    };
    let own = assigned("revision")?.into_iter().next()?;
    Some((own, assigned("down_revision")?))
}
