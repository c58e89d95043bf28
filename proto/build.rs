//! Compiles the schemas without protoc: protox parses, prost-build generates.

use std::error::Error;

const SCHEMAS: [&str; 3] = ["schema/criu_mm.proto", "schema/criu_pagemap.proto", "schema/evidence.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let files = protox::compile(SCHEMAS, ["schema"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
