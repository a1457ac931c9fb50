//! `decoders FOLDER`: decodes the files of each folder below FOLDER with every decoder of their format, and
//! prints a line of JSON for each: megapixels per second of one core, the fastest of some rounds.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use shoal_images::decode::decode;
use shoal_images::probe::Limits;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes to the number of pixels, all of which were decoded.
type Decoder = fn(&[u8]) -> Result<usize>;

const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("a folder is missing")?;
    let mut kinds: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    kinds.sort_by_key(|kind| kind.file_name());
    for kind in kinds {
        measure(&kind.path())?;
    }
    Ok(())
}

fn measure(folder: &Path) -> Result<()> {
    let files = std::fs::read_dir(folder)?
        .map(|file| std::fs::read(file?.path()))
        .collect::<std::io::Result<Vec<Vec<u8>>>>()?;
    let kind = folder.file_name().unwrap_or_default().to_string_lossy();
    let format = kind.split(' ').next().unwrap_or_default();
    let pixels: usize = files.iter().map(|file| shoal(file)).sum::<Result<_>>()?;
    for (name, decoder) in decoders(format) {
        let mut least = f64::INFINITY;
        let mut problem = None;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            match files
                .iter()
                .map(|file| decoder(file))
                .sum::<Result<usize>>()
            {
                Ok(found) if found == pixels => least = least.min(start.elapsed().as_secs_f64()),
                Ok(found) => problem = Some(format!("{found} of {pixels} pixels")),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        let rate = problem.is_none().then(|| pixels as f64 / 1e6 / least);
        println!(
            "{}",
            json!({"kind": kind, "decoder": name, "rate": rate, "problem": problem})
        );
    }
    Ok(())
}

fn decoders(format: &str) -> Vec<(&'static str, Decoder)> {
    let mut decoders: Vec<(&str, Decoder)> = vec![("Shoal", shoal)];
    match format {
        "JPEG" => decoders.extend([
            ("zune-jpeg", zune_jpeg as Decoder),
            ("jpeg-decoder", jpeg_decoder),
        ]),
        "PNG" => decoders.extend([("png", png as Decoder), ("zune-png", zune_png)]),
        "TIFF" => decoders.push(("tiff", tiff)),
        "WebP" => decoders.push(("image-webp", image_webp)),
        "GIF" => decoders.push(("gif", gif)),
        "BMP" => decoders.extend([("image", image as Decoder), ("zune-bmp", zune_bmp)]),
        _ => {}
    }
    decoders
}

fn shoal(file: &[u8]) -> Result<usize> {
    let decoded = decode(file, &Limits::default())?;
    Ok(decoded.image.width() as usize * decoded.image.height() as usize)
}

fn options() -> zune_core::options::DecoderOptions {
    zune_core::options::DecoderOptions::new_fast()
}

fn zune_jpeg(file: &[u8]) -> Result<usize> {
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(file), options());
    decoder.decode()?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    Ok(width * height)
}

fn jpeg_decoder(file: &[u8]) -> Result<usize> {
    let mut decoder = jpeg_decoder::Decoder::new(file);
    decoder.decode()?;
    let info = decoder.info().ok_or("no size")?;
    Ok(usize::from(info.width) * usize::from(info.height))
}

fn png(file: &[u8]) -> Result<usize> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let frame = reader.next_frame(&mut pixels)?;
    Ok(frame.width as usize * frame.height as usize)
}

fn zune_png(file: &[u8]) -> Result<usize> {
    let mut decoder = zune_png::PngDecoder::new_with_options(Cursor::new(file), options());
    decoder.decode()?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    Ok(width * height)
}

fn tiff(file: &[u8]) -> Result<usize> {
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(file))?;
    decoder.read_image()?;
    let (width, height) = decoder.dimensions()?;
    Ok(width as usize * height as usize)
}

fn image_webp(file: &[u8]) -> Result<usize> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file))?;
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or("too large")?];
    decoder.read_image(&mut pixels)?;
    let (width, height) = decoder.dimensions();
    Ok(width as usize * height as usize)
}

fn gif(file: &[u8]) -> Result<usize> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(file)?;
    let frame = decoder.read_next_frame()?.ok_or("no frame")?;
    Ok(usize::from(frame.width) * usize::from(frame.height))
}

fn image(file: &[u8]) -> Result<usize> {
    let picture = image::load_from_memory(file)?;
    Ok(picture.width() as usize * picture.height() as usize)
}

fn zune_bmp(file: &[u8]) -> Result<usize> {
    let mut decoder = bmp::BmpDecoder::new(Cursor::new(file));
    decoder.decode().map_err(|error| format!("{error:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    Ok(width * height)
}
