//! What was read last, so that a change of a few resources costs no more than these.
//!
//! A list of resources is one YAML document, and most of a large one stays as it is. What differs between the
//! text before and the text now lies between their common beginning and their common end. Where that is inside of
//! the list, the members that it touches are read by themselves, and those before and behind are what they were.
//! Everything else (another part of the configuration, anchors, a list in another form) is read in full.

use super::document;
use super::file::{self, SeenFile};
use super::substitution::{Environment, substitute};
use super::{Loaded, NodeConfiguration, access, directory, resource};
use keyward_model::resource::raw::{Declared, Node, Problems, Value};
use keyward_model::resource::{Kind, Resource};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where more text than this is touched, all of it is read.
const CHANGED_MAX_BYTES: usize = 1 << 20;

/// A configuration with the text that it was read from.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    pub(super) configuration: NodeConfiguration,
    /// The same resources, as they are served.
    pub(super) resources: Vec<Arc<Resource>>,
    /// The configuration's own, then those that it refers to.
    pub(super) files: Vec<SeenFile>,
    /// `None` where it has to be read in full the next time.
    text: Option<Text>,
}

/// The text, and where the members of its list of resources begin.
#[derive(Debug)]
struct Text {
    text: String,
    /// The byte at which each member's first line begins.
    starts: Vec<usize>,
    /// How many spaces stand before a member's dash.
    indent: usize,
}

/// What has changed of a configuration.
pub(super) struct Followed {
    /// The resources that were read.
    pub(super) changed: Range<usize>,
    /// Whether these are APIs, and those in whose place they stand were.
    pub(super) apis_alone: bool,
    /// What stood in their place.
    before: Replaced,
}

/// Resources that others stand in the place of, to be put back where these are not served.
#[derive(Debug)]
struct Replaced {
    by: Range<usize>,
    declared: Vec<Declared>,
    resources: Vec<Arc<Resource>>,
    /// How many lines those behind were moved by.
    moved_lines: i64,
    files: Vec<SeenFile>,
}

/// What was kept before a reading, until it is known whether what was read is served.
#[derive(Debug)]
pub(crate) struct Before(Replacement);

#[derive(Debug)]
enum Replacement {
    /// There was none.
    Nothing,
    /// All of it was read anew.
    Whole(Box<Kept>),
    /// A part of it was.
    Part(Replaced),
}

impl Before {
    pub(super) fn whole(kept: Option<Kept>) -> Self {
        let whole = kept.map(|kept| Replacement::Whole(Box::new(kept)));
        Self(whole.unwrap_or(Replacement::Nothing))
    }

    pub(super) fn part(followed: Followed) -> Self {
        Self(Replacement::Part(followed.before))
    }

    /// As it was, where `read` is not served. It is read in full the next time.
    pub(crate) fn put_back(self, read: Kept) -> Option<Kept> {
        match self.0 {
            Replacement::Nothing => None,
            Replacement::Whole(kept) => Some(*kept),
            Replacement::Part(before) => Some(read.with(before)),
        }
    }
}

/// The members of a list that are others now.
struct Change {
    /// Which of the members before it takes the place of.
    replaced: Range<usize>,
    /// Their text now.
    slice: Range<usize>,
}

impl Kept {
    /// Keeps what was loaded from a node's configuration; `None` where it can't be served.
    pub(crate) fn of(path: &Path, loaded: Loaded) -> Option<Self> {
        let Loaded {
            configuration,
            files,
            report,
            root,
            ..
        } = loaded;
        let configuration = configuration?;
        let text = root.and_then(|root| {
            let text = Text::of(report.into_text()?, &root)?;
            (text.starts.len() == configuration.resources.len()).then_some(text)
        });
        Some(Self {
            path: path.to_owned(),
            resources: shared(&configuration.resources),
            configuration,
            files,
            text,
        })
    }

    /// What a node runs with where no file says so.
    pub(crate) fn unwritten(configuration: NodeConfiguration) -> Self {
        Self {
            path: PathBuf::new(),
            resources: shared(&configuration.resources),
            configuration,
            files: Vec::new(),
            text: None,
        }
    }

    /// The configuration.
    pub(crate) fn configuration(&self) -> &NodeConfiguration {
        &self.configuration
    }

    /// How the node runs: the configuration without its resources.
    pub(crate) fn settings(&mut self) -> NodeConfiguration {
        // They are many, and nobody needs a second copy of them.
        let resources = std::mem::take(&mut self.configuration.resources);
        let settings = self.configuration.clone();
        self.configuration.resources = resources;
        settings
    }

    /// Its resources. Those that were not written anew are the same pieces of memory as before.
    pub(crate) fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// The files that it was read from.
    pub(crate) fn files(&self) -> &[SeenFile] {
        &self.files
    }

    /// The same with these resources in their old place, to be read in full the next time.
    fn with(mut self, before: Replaced) -> Self {
        let behind = self.configuration.resources.get_mut(before.by.end..);
        for declared in behind.unwrap_or_default() {
            declared.node.move_lines(-before.moved_lines);
        }
        self.resources.splice(before.by.clone(), before.resources);
        let declared = &mut self.configuration.resources;
        declared.splice(before.by, before.declared);
        self.files = before.files;
        self.text = None;
        self
    }

    /// The same with what was followed put back.
    pub(super) fn unfollowed(self, followed: Followed) -> Self {
        self.with(followed.before)
    }

    /// Reads what of the text has changed, and tells which resources these are. `None` where all of it has to be
    /// read: also where anything is wrong, so that mistakes are told as they always are. The resources are those of
    /// before then.
    pub(super) fn follow(&mut self, environment: Environment<'_>) -> Option<Followed> {
        let files = self.files.clone();
        let followed = self.follow_text(environment);
        match followed {
            Some(mut followed) => {
                followed.before.files = files;
                Some(followed)
            }
            None => {
                self.files = files;
                None
            }
        }
    }

    fn follow_text(&mut self, environment: Environment<'_>) -> Option<Followed> {
        let mut kept = self.text.take()?;
        let own = SeenFile::now(&self.path);
        // A secret in a file of its own: which resources it went into isn't known.
        let others = self.files.get(1..)?;
        if others.iter().any(|file| file.again() != *file) {
            return None;
        }
        let text = file::read_text(&self.path, document::DOCUMENT_MAX_BYTES).ok()?;
        let change = kept.change(&text)?;
        let slice = text.get(change.slice.clone())?;
        let mut problems = Problems::new();
        let (nodes, mut starts) = kept.members(slice, &mut problems)?;
        let first_line = match self.configuration.resources.get(change.replaced.start) {
            Some(first) => i64::from(first.place().line),
            None => return None,
        };
        let mut read = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            node.move_lines(first_line - 1);
            substitute(
                &mut node,
                directory(&self.path),
                environment,
                &mut self.files,
                &mut problems,
            );
            read.push(resource(node, directory(&self.path), &mut problems)?);
        }
        if !problems.as_slice().is_empty() {
            return None;
        }
        let Change {
            replaced,
            slice: new,
        } = change;
        let changed = replaced.start..replaced.start + read.len();
        let old = kept.bytes_of(&replaced)?;
        let moved_lines = lines_of(slice) - lines_of(kept.text.get(old.clone())?);
        let before = self.configuration.resources.get(replaced.clone())?;
        // What stands in policies is checked for all routes together.
        if before.iter().chain(&read).any(access::is_about_access) {
            return None;
        }
        // A list that has become empty is written in another way.
        if self.configuration.resources.len() == before.len() && read.is_empty() {
            return None;
        }
        let apis_alone = before.iter().chain(&read).all(is_api);
        let resources = self.resources.splice(replaced.clone(), shared(&read));
        let resources = resources.collect();
        let declared = &mut self.configuration.resources;
        let declared = declared.splice(replaced.clone(), read).collect();
        if moved_lines != 0 {
            let behind = self.configuration.resources.get_mut(changed.end..);
            for declared in behind.unwrap_or_default() {
                declared.node.move_lines(moved_lines);
            }
        }
        for start in &mut starts {
            *start += new.start;
        }
        for start in kept.starts.get_mut(replaced.end..).unwrap_or_default() {
            *start = *start - old.end + new.end;
        }
        kept.starts.splice(replaced, starts);
        kept.text = text;
        if let Some(first) = self.files.first_mut() {
            *first = own;
        }
        self.text = Some(kept);
        Some(Followed {
            changed: changed.clone(),
            apis_alone,
            before: Replaced {
                by: changed,
                declared,
                resources,
                moved_lines,
                files: Vec::new(),
            },
        })
    }
}

fn is_api(declared: &Declared) -> bool {
    declared.resource.spec.kind() == Kind::Api
}

fn shared(declared: &[Declared]) -> Vec<Arc<Resource>> {
    let resources = declared.iter().map(|declared| &declared.resource);
    resources.cloned().map(Arc::new).collect()
}

fn lines_of(text: &str) -> i64 {
    i64::try_from(memchr::memchr_iter(b'\n', text.as_bytes()).count()).unwrap_or(i64::MAX)
}

impl Text {
    /// `None` where the list of resources is not one whose members can be told apart by their lines.
    fn of(text: String, root: &ListPlaces) -> Option<Self> {
        // Other line breaks, and marks that make one part of a document mean something in another.
        if text.contains('\r') || text.starts_with('\u{feff}') || has_anchor(&text) {
            return None;
        }
        let text = Self::indexed(text, root)?;
        let ascending = text.starts.is_sorted_by(|one, next| one < next);
        let dashes = text.starts.iter().all(|start| {
            let line = text.text.get(*start..);
            line.is_some_and(|line| text.begins_member(line))
        });
        (ascending && dashes).then_some(text)
    }

    fn indexed(text: String, root: &ListPlaces) -> Option<Self> {
        let mut line_starts = Vec::with_capacity(text.len() / 24);
        line_starts.push(0);
        line_starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        let start_of = |line: u32| {
            let index = usize::try_from(line.checked_sub(1)?).ok()?;
            line_starts.get(index).copied()
        };
        let starts: Vec<usize> = root
            .lines
            .iter()
            .map(|line| start_of(*line))
            .collect::<Option<_>>()?;
        let first = text.get(*starts.first()?..)?;
        let indent = first.len() - first.trim_start_matches(' ').len();
        Some(Self {
            text,
            starts,
            indent,
        })
    }

    /// Whether a member of the list begins with this text.
    fn begins_member(&self, text: &str) -> bool {
        let spaces = text.len() - text.trim_start_matches(' ').len();
        spaces == self.indent
            && text
                .get(self.indent..)
                .and_then(|text| text.strip_prefix('-'))
                .is_some_and(|rest| rest.starts_with([' ', '\n']))
    }

    /// What differs in `now`, if that is between members of the list.
    fn change(&self, now: &str) -> Option<Change> {
        let (before, after) = (self.text.as_bytes(), now.as_bytes());
        let shorter = before.len().min(after.len());
        let prefix = same_at_the_start(before, after);
        let suffix = same_at_the_end(before, after).min(shorter - prefix);
        let mut begin = self
            .starts
            .partition_point(|start| *start <= prefix)
            .checked_sub(1)?;
        // Where what stands at a member's beginning now is none, it belongs to the member before.
        loop {
            let from = now.get(*self.starts.get(begin)?..)?;
            if from.trim_start().is_empty() || self.begins_member(from) {
                break;
            }
            begin = begin.checked_sub(1)?;
        }
        let changed_end = before.len() - suffix;
        let end = self.starts.partition_point(|start| *start < changed_end);
        // One member at least: what changed at its very end is its own.
        let end = end.max(begin + 1).min(self.starts.len());
        let from = *self.starts.get(begin)?;
        let to = match self.starts.get(end) {
            Some(start) => now.len().checked_sub(before.len() - start)?,
            None => now.len(),
        };
        // The last of these ends where the text goes on as before.
        let ends = end == self.starts.len() || to == 0 || after.get(to - 1) == Some(&b'\n');
        let slice = now.get(from..to)?;
        (ends && slice.len() <= CHANGED_MAX_BYTES && is_plain(slice)).then_some(Change {
            replaced: begin..end,
            slice: from..to,
        })
    }

    /// The members that stand in a part of the list, and where each begins in it.
    fn members(&self, slice: &str, problems: &mut Problems) -> Option<(Vec<Node>, Vec<usize>)> {
        if slice.trim().is_empty() {
            return Some((Vec::new(), Vec::new()));
        }
        let mut documents = document::read(slice, 0, problems);
        let document = documents.pop()?;
        let Value::List(members) = document.value else {
            return None;
        };
        if !documents.is_empty() || !problems.as_slice().is_empty() {
            return None;
        }
        let lines = ListPlaces::of(&members);
        let mut starts = Vec::with_capacity(members.len());
        let mut line_starts = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', slice.as_bytes()).map(|at| at + 1))
            .enumerate();
        for line in lines.lines {
            let index = usize::try_from(line.checked_sub(1)?).ok()?;
            let (_, start) = line_starts.find(|(number, _)| *number == index)?;
            self.begins_member(slice.get(start..)?).then_some(())?;
            starts.push(start);
        }
        Some((members, starts))
    }

    fn bytes_of(&self, members: &Range<usize>) -> Option<Range<usize>> {
        let from = *self.starts.get(members.start)?;
        let to = self.starts.get(members.end).copied();
        Some(from..to.unwrap_or(self.text.len()))
    }
}

/// The lines on which the members of the last list of a document begin.
#[derive(Debug)]
pub(super) struct ListPlaces {
    lines: Vec<u32>,
}

impl ListPlaces {
    fn of(members: &[Node]) -> Self {
        Self {
            lines: members.iter().map(|member| member.place.line).collect(),
        }
    }

    /// Those of `resources`, where that is the last key of a configuration: whatever is added behind is then a
    /// member, or no part of the list.
    pub(super) fn of_resources(root: &Node) -> Option<Self> {
        let Value::Map(entries) = &root.value else {
            return None;
        };
        let last = entries.iter().max_by_key(|entry| entry.place)?;
        let is_block = last.node.place.line > last.place.line;
        (last.key == "resources" && is_block).then(|| Self::of(last.node.members()))
    }
}

/// Whether there is anything that could be an anchor or an alias (`&name`, `*name`): a mark at the beginning of a
/// value.
fn has_anchor(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'&', b'*', bytes).any(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        before
            .is_none_or(|before| matches!(before, b' ' | b'\t' | b'\n' | b'[' | b'{' | b',' | b':'))
    })
}

/// Whether a part of a list means the same by itself: no anchors, no marks of documents, no other line breaks.
fn is_plain(slice: &str) -> bool {
    let marks = ["---", "...", "%"];
    let marked = |line: &str| marks.iter().any(|mark| line.starts_with(mark));
    !has_anchor(slice) && !slice.contains(['\r', '\u{feff}']) && !slice.lines().any(marked)
}

fn same_at_the_start(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 4096;
    let whole = one
        .chunks_exact(STEP)
        .zip(other.chunks_exact(STEP))
        .take_while(|(one, other)| one == other)
        .count()
        * STEP;
    let rest = one.iter().skip(whole).zip(other.iter().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

fn same_at_the_end(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 4096;
    let whole = one
        .rchunks_exact(STEP)
        .zip(other.rchunks_exact(STEP))
        .take_while(|(one, other)| one == other)
        .count()
        * STEP;
    let rest = one
        .iter()
        .rev()
        .skip(whole)
        .zip(other.iter().rev().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests;
