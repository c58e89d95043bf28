//! Compiles the schemas without protoc: protox parses, prost-build generates.

use std::error::Error;

const SCHEMAS: [&str; 3] = ["schema/criu_mm.proto", "schema/criu_pagemap.proto", "schema/evidence.proto"];

const RECORDING: &str = "schema/recording.proto";

fn main() -> Result<(), Box<dyn Error>> {
    for schema in SCHEMAS.iter().chain([&RECORDING]) {
        println!("cargo::rerun-if-changed={schema}");
    }
    let files = protox::compile(SCHEMAS, ["schema"])?;
    prost_build::Config::new().compile_fds(files)?;
    // By itself: what it takes of evidence is in a module of another name than its package's.
    let recording = protox::compile([RECORDING], ["schema"])?;
    prost_build::Config::new()
        .extern_path(".aioinspect.evidence.v1", "crate::schema::evidence")
        .compile_fds(recording)?;
    Ok(())
}
