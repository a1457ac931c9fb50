//! Writes the eight TPC-H tables as Parquet files: `tpch-data --scale 0.1 FOLDER` makes
//! `FOLDER/lineitem.parquet` and so on.
//!
//! The same scale always gives the same rows. Text is stored as plain strings, without the Arrow
//! schema, so that every engine reads the types its own Parquet reader gives.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Parser;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow,
    RecordBatchIterator, RegionArrow, SupplierArrow,
};

/// Writes the TPC-H tables as Parquet files.
#[derive(Parser)]
struct Arguments {
    /// Scale factor; 1 is 6 million rows of lineitem.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Folder to write to; made if missing.
    folder: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { scale, folder } = Arguments::parse();
    std::fs::create_dir_all(&folder)?;
    write(
        &folder,
        "region",
        RegionArrow::new(RegionGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "nation",
        NationArrow::new(NationGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "supplier",
        SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "customer",
        CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "part",
        PartArrow::new(PartGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "partsupp",
        PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "orders",
        OrderArrow::new(OrderGenerator::new(scale, 1, 1)),
    )?;
    write(
        &folder,
        "lineitem",
        LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)),
    )
}

fn write(folder: &Path, table: &str, rows: impl RecordBatchIterator) -> Result<(), Box<dyn Error>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let file = File::create(folder.join(format!("{table}.parquet")))?;
    let mut writer = ArrowWriter::try_new_with_options(file, rows.schema().clone(), options)?;
    for batch in rows {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}
