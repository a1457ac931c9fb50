//! From the samples of components to the pixels of a picture, some rows at a time: what one row of
//! MCUs brings is turned into pixels while it is still in the processor's cache.

use fearless_simd::{Level, Simd, dispatch};
use image::{DynamicImage, GrayImage, RgbImage};

use super::block::Plane;
use super::color::{convert_row, interleave_row};
use super::frame::Frame;
use super::upsample::Upsampler;

/// The pixels so far, and the samples of which more are made.
pub(super) struct Canvas {
    /// By component.
    pub(super) planes: Vec<Plane>,
    upsamplers: Vec<Upsampler>,
    is_rgb: bool,
    level: Level,
    width: usize,
    height: usize,
    /// Rows of pixels that are done.
    done: usize,
    pixels: Vec<u8>,
    /// One row of pixels.
    row: Vec<u8>,
}

impl Canvas {
    /// For `mcus` rows of MCUs at a time; three components are YCbCr unless `is_rgb`.
    pub(super) fn new(frame: &Frame, mcus: usize, is_rgb: bool) -> Self {
        let components = frame.components.iter();
        let bytes_across = match frame.components.len() {
            1 => frame.width,
            _ => frame.width * 3,
        };
        Self {
            planes: components
                .clone()
                .map(|component| Plane::new(component, frame, mcus))
                .collect(),
            upsamplers: components
                .map(|component| Upsampler::new(component, frame))
                .collect(),
            is_rgb,
            level: Level::new(),
            width: frame.width,
            height: frame.height,
            done: 0,
            pixels: Vec::with_capacity(bytes_across * frame.height),
            row: vec![0; bytes_across],
        }
    }

    /// Makes all pixels that depend on the first `mcus_down` rows of MCUs alone. The planes then have
    /// room for the next.
    pub(super) fn paint(&mut self, frame: &Frame, mcus_down: usize) {
        let ends = frame.components.iter();
        let ends = ends.map(|component| mcus_down * component.down * component.samples_down);
        let ready = match mcus_down < frame.mcus_down {
            true => {
                let ready = self.upsamplers.iter().zip(ends.clone());
                let ready = ready.map(|(upsampler, end)| upsampler.ready_rows(end));
                ready.min().unwrap_or(0).min(self.height)
            }
            false => self.height,
        };
        dispatch!(self.level, simd => self.paint_rows(simd, ready));
        for ((plane, upsampler), end) in self.planes.iter_mut().zip(&self.upsamplers).zip(ends) {
            plane.forget_rows_before(upsampler.first_row_for(ready).min(end), end);
        }
    }

    /// Makes the rows up to `end`.
    #[inline(always)]
    fn paint_rows<S: Simd>(&mut self, simd: S, end: usize) {
        for y in self.done..end {
            let mut rows = [&[][..]; 3];
            let parts = self.upsamplers.iter_mut().zip(&self.planes);
            for (row, (upsampler, plane)) in rows.iter_mut().zip(parts) {
                *row = &upsampler.row(plane, y)[..self.width];
            }
            if self.planes.len() == 1 {
                self.pixels.extend_from_slice(rows[0]);
                continue;
            }
            if self.is_rgb {
                interleave_row(rows, &mut self.row);
            } else {
                convert_row(simd, rows, &mut self.row);
            }
            self.pixels.extend_from_slice(&self.row);
        }
        self.done = self.done.max(end);
    }

    /// The picture; `None` unless all its rows are done.
    pub(super) fn into_image(self) -> Option<DynamicImage> {
        let (width, height) = (self.width as u32, self.height as u32);
        match self.planes.len() {
            1 => GrayImage::from_raw(width, height, self.pixels).map(DynamicImage::ImageLuma8),
            _ => RgbImage::from_raw(width, height, self.pixels).map(DynamicImage::ImageRgb8),
        }
    }
}
