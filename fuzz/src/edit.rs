//! Valid texts, edited.

/// A text and the place of the valid one that it was made from, if any.
pub struct Chosen {
    /// The text after the edits.
    pub text: Vec<u8>,
    /// The place among the valid texts; `None` where the fuzzer wrote all of it.
    pub origin: Option<usize>,
}

/// Takes the text that the first byte of `data` picks, and edits it by what follows: each edit is two
/// bytes of position, the number of bytes to remove, the number to insert, and these.
pub fn edited<T: AsRef<[u8]>>(valid: &[T], data: &[u8]) -> Chosen {
    let Some((&pick, mut rest)) = data.split_first() else {
        return Chosen {
            text: Vec::new(),
            origin: None,
        };
    };
    let Some(text) = valid.get(usize::from(pick)) else {
        return Chosen {
            text: rest.to_vec(),
            origin: None,
        };
    };
    let mut text = text.as_ref().to_vec();
    while let [high, low, remove, insert, after @ ..] = rest {
        let start = usize::from(u16::from_be_bytes([*high, *low])) % (text.len() + 1);
        let end = (start + usize::from(*remove)).min(text.len());
        let (inserted, after) = after.split_at(after.len().min(usize::from(*insert)));
        text.splice(start..end, inserted.iter().copied());
        rest = after;
    }
    Chosen {
        text,
        origin: Some(usize::from(pick)),
    }
}
