//! From the samples of a component to as many as the picture has pixels.
//!
//! At full size, components of half the resolution are interpolated linearly: a pixel has three
//! quarters of the nearest sample and one of the next, in both directions, rounded as libjpeg does, so
//! the result is the same to the bit. Everywhere else, samples are repeated.

use super::block::Plane;
use super::frame::{Component, Frame};

/// How one component gets as many samples as the picture has pixels.
pub(super) struct Upsampler {
    across: usize,
    down: usize,
    /// Of what is interpolated, the picture's own samples, across and down; beyond them is padding.
    own: Option<(usize, usize)>,
    /// Four times the interpolation of two rows; the first and the last one again at either end.
    sums: Vec<u16>,
    line: Vec<u8>,
}

impl Upsampler {
    pub(super) fn new(component: &Component, frame: &Frame) -> Self {
        let (across, down) = (component.repeat_across, component.repeat_down);
        let own = component.interpolated;
        Self {
            across,
            down,
            own,
            sums: vec![0; own.map_or(0, |(width, _)| width + 2)],
            // A last pair may be one pixel too many.
            line: vec![0; frame.width + 1],
        }
    }

    /// How many rows of pixels depend on the first `end` rows of samples alone, if that is not all.
    pub(super) fn ready_rows(&self, end: usize) -> usize {
        match self.down {
            2 if self.own.is_some() => (2 * end).saturating_sub(1),
            down => down * end,
        }
    }

    /// The first row of samples that row `y` of the pixels or a later one depends on.
    pub(super) fn first_row_for(&self, y: usize) -> usize {
        (y / self.down).saturating_sub(1)
    }

    /// Row `y` of the pixels.
    #[inline(always)]
    pub(super) fn row<'a>(&'a mut self, plane: &'a Plane, y: usize) -> &'a [u8] {
        let near = y / self.down;
        if let Some((width, height)) = self.own {
            let far = match y % self.down {
                _ if self.down == 1 => near,
                0 => near.saturating_sub(1),
                _ => (near + 1).min(height - 1),
            };
            let (near, far) = (&plane.row(near)[..width], &plane.row(far)[..width]);
            self.interpolate(near, far, y);
            return &self.line;
        }
        let samples = plane.row(near);
        if self.across == 1 {
            return samples;
        }
        for (pixels, sample) in self.line.chunks_mut(self.across).zip(samples) {
            pixels.fill(*sample);
        }
        &self.line
    }

    /// Interpolates row `y` of the pixels from the two rows of samples next to it.
    #[inline(always)]
    fn interpolate(&mut self, near: &[u8], far: &[u8], y: usize) {
        let width = near.len();
        let sums = &mut self.sums[..width + 2];
        for (sum, (near, far)) in sums[1..=width].iter_mut().zip(near.iter().zip(far)) {
            *sum = 3 * u16::from(*near) + u16::from(*far);
        }
        if self.across == 1 {
            let half = 1 + (y % 2) as u16;
            for (pixel, sum) in self.line.iter_mut().zip(&sums[1..=width]) {
                *pixel = ((sum + half) >> 2) as u8;
            }
            return;
        }
        sums[0] = sums[1];
        sums[width + 1] = sums[width];
        // Halves are rounded up and down in turn, so that the picture becomes neither lighter nor darker.
        let halves = if self.down == 1 { (4, 8) } else { (8, 7) };
        let (pairs, _) = self.line.as_chunks_mut::<2>();
        let (before, here, behind) = (&sums[..width], &sums[1..=width], &sums[2..]);
        let neighbors = before.iter().zip(here).zip(behind);
        for (pair, ((before, here), behind)) in pairs.iter_mut().zip(neighbors) {
            let left = (3 * here + before + halves.0) >> 4;
            let right = (3 * here + behind + halves.1) >> 4;
            *pair = [left as u8, right as u8];
        }
    }
}
