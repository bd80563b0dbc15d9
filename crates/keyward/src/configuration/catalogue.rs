//! The catalogue of providers and models: the one that goes with this version, or a newer one in the data folder.

use super::file::{self, SeenFile};
use keyward_gateway::use_catalogue;
use keyward_llm::catalogue::Catalogue;
use keyward_model::resource::raw::{Place, Problems};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a newer one is called, in the data folder.
const FILE: &str = "catalogue.tsv";
/// Sixty times what the built-in has.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// Where a newer one stands.
pub(crate) fn place(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Reads one from its text.
///
/// # Errors
/// What is wrong with it: of whatever came, something has to be left that can be called.
pub(crate) fn read(text: &str) -> Result<Catalogue, String> {
    let catalogue = Catalogue::read(text).map_err(|error| error.to_string())?;
    if catalogue.providers().next().is_none() || catalogue.models().next().is_none() {
        return Err("it has no providers, or none of their models".to_owned());
    }
    Ok(catalogue)
}

/// The newer one, where there is one.
pub(crate) fn newer(data_dir: &Path) -> Result<Option<Catalogue>, String> {
    let path = place(data_dir);
    if !path.exists() {
        return Ok(None);
    }
    let text = file::read_text(&path, MAX_BYTES as u64)?;
    let told = |why| format!("{}: {why}", path.display());
    read(&text).map(Some).map_err(told)
}

/// Has the one count that is there, for what is checked and served from now on; that it comes or changes, changes what is
/// loaded. One that can't be read is told of, and what counted before goes on.
pub(super) fn take_up(data_dir: &Path, files: &mut Vec<SeenFile>, problems: &mut Problems) {
    files.push(SeenFile::now(&place(data_dir)));
    match newer(data_dir) {
        Ok(catalogue) => use_catalogue(catalogue.map(Arc::new)),
        Err(why) => problems.error(
            Place::default(),
            "bad_catalogue",
            format!("the catalogue of models {why}; fetch it anew with `keyward models update`, or take the file away"),
        ),
    }
}
