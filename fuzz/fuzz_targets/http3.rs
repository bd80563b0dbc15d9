//! Header sections of HTTP/3: whatever is read as a request's head, HTTP/1.1's parser reads in the same way.

#![no_main]

use keyward_fuzz::edited;
use libfuzzer_sys::fuzz_target;

/// Fields as lines; a name's colon at the front is its own.
const VALID: &[&str] = &[
    ":method\tGET\n:scheme\thttps\n:authority\ta.test\n:path\t/b?c=d\naccept\t*/*",
    ":method\tPOST\n:scheme\thttps\n:path\t/\nhost\ta.test\ncontent-length\t5\nte\ttrailers",
    ":method\tGET\n:scheme\thttp\n:authority\ta:80\n:path\t*\ncookie\ta=1\nx-one\t1\ncookie\tb=2",
    ":method\tCONNECT\n:authority\ta.test:443",
];

fuzz_target!(|data: &[u8]| {
    // As it comes, and as the fields that it would be.
    keyward_gateway::compare_section(data);
    let chosen = edited(VALID, data);
    let fields: Vec<(&[u8], &[u8])> = chosen
        .text
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let tab = line
                .iter()
                .position(|byte| *byte == b'\t')
                .unwrap_or(line.len());
            (&line[..tab], line.get(tab + 1..).unwrap_or_default())
        })
        .collect();
    keyward_gateway::compare_section(&keyward_gateway::write_section(&fields));
});
