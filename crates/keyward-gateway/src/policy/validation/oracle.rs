//! For fuzz targets: bodies as validation reads them, held against `serde_json`.

use super::json;
use serde_json::Value;

/// Reads the bytes as JSON within a depth.
///
/// # Panics
/// When what is taken is read in another way by `serde_json`, nests deeper, or is not what is counted.
pub fn read_json_body(bytes: &[u8], max_depth: usize) {
    let Ok(read) = json::read(bytes, max_depth) else {
        return;
    };
    let theirs: Result<Value, _> = serde_json::from_slice(bytes);
    assert_eq!(theirs.ok().as_ref(), Some(&read.value));
    let (nodes, depth) = measure(&read.value);
    assert_eq!(nodes, read.nodes);
    assert!(depth <= max_depth);
}

/// How many values there are, and how deep they nest.
fn measure(value: &Value) -> (usize, usize) {
    let inner: Vec<(usize, usize)> = match value {
        Value::Array(list) => list.iter().map(measure).collect(),
        Value::Object(map) => map.values().map(measure).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return (1, 0),
    };
    let nodes: usize = inner.iter().map(|(nodes, _)| nodes).sum();
    let depth = inner.iter().map(|(_, depth)| *depth).max();
    (nodes + 1, depth.unwrap_or_default() + 1)
}
