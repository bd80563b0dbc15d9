//! Tests over several dialects at once: fixtures, streams cut at every byte, round trips, the grid.

mod ends;
mod fixture;
mod grid;
mod page;
mod requests;
mod round_trip;
mod streams;
