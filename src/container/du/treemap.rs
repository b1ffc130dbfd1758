//! Rectangles whose areas are shares of a whole, none of them thin (M. Bruls, K. Huizing, J. van Wijk, "Squarified Treemaps", 2000).

/// A place in a picture, from the upper left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rectangle {
    fn area(&self) -> f64 {
        self.width * self.height
    }
}

/// Divides a rectangle by weights, which come the largest first. Gives a rectangle for each, in their order; those of no weight are
/// empty.
pub fn squarify(weights: &[u64], place: Rectangle) -> Vec<Rectangle> {
    let sum: f64 = weights.iter().map(|weight| *weight as f64).sum();
    let scale = if sum > 0.0 { place.area() / sum } else { 0.0 };
    let areas: Vec<f64> = weights.iter().map(|weight| *weight as f64 * scale).collect();
    let (mut rest, mut left, mut rectangles) = (place, &*areas, Vec::new());
    while !left.is_empty() {
        let side = rest.width.min(rest.height);
        let mut length = 1;
        while length < left.len() && worst(&left[..length + 1], side) <= worst(&left[..length], side) {
            length += 1;
        }
        let (row, others) = left.split_at(length);
        rest = lay(row, rest, &mut rectangles);
        left = others;
    }
    rectangles
}

/// How thin the thinnest of a row along `side` would be: the ratio of its sides, 1 for a square.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let thickness = sum / side;
    let ratio = |area: &f64| {
        let length = area / thickness;
        (thickness / length).max(length / thickness)
    };
    match thickness > 0.0 {
        true => row.iter().filter(|area| **area > 0.0).map(ratio).fold(0.0, f64::max),
        false => 0.0,
    }
}

/// Lays a row along the shorter side; gives what is left.
fn lay(row: &[f64], place: Rectangle, rectangles: &mut Vec<Rectangle>) -> Rectangle {
    let sum: f64 = row.iter().sum();
    let along_height = place.height <= place.width;
    let side = place.width.min(place.height);
    let thickness = if side > 0.0 { sum / side } else { 0.0 };
    let mut at = 0.0;
    for area in row {
        let length = if thickness > 0.0 { area / thickness } else { 0.0 };
        rectangles.push(match along_height {
            true => Rectangle { x: place.x, y: place.y + at, width: thickness, height: length },
            false => Rectangle { x: place.x + at, y: place.y, width: length, height: thickness },
        });
        at += length;
    }
    match along_height {
        true => Rectangle { x: place.x + thickness, width: (place.width - thickness).max(0.0), ..place },
        false => Rectangle { y: place.y + thickness, height: (place.height - thickness).max(0.0), ..place },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Rectangle = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    #[test]
    fn the_paper_s_example() {
        let place = Rectangle { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let rectangles = squarify(&[6, 6, 4, 3, 2, 2, 1], place);
        let first: Vec<_> = rectangles[..2].iter().map(|r| (r.width, r.height)).collect();
        assert_eq!(first, [(3.0, 2.0), (3.0, 2.0)]);
        assert!(rectangles.iter().all(|r| (r.width / r.height).max(r.height / r.width) < 4.0));
    }

    proptest! {
        #[test]
        fn areas_are_shares_inside_the_place_and_apart(mut weights in proptest::collection::vec(0..1_000_000u64, 1..40)) {
            weights.sort_by(|a, b| b.cmp(a));
            let sum: u64 = weights.iter().sum();
            let rectangles = squarify(&weights, PLACE);
            prop_assert_eq!(rectangles.len(), weights.len());
            for (r, weight) in rectangles.iter().zip(&weights) {
                let share = if sum == 0 { 0.0 } else { *weight as f64 / sum as f64 };
                prop_assert!((r.area() - share * PLACE.area()).abs() < 1e-3, "{r:?}");
                prop_assert!(r.x >= PLACE.x - 1e-6 && r.y >= PLACE.y - 1e-6);
                prop_assert!(r.x + r.width <= PLACE.x + PLACE.width + 1e-6);
                prop_assert!(r.y + r.height <= PLACE.y + PLACE.height + 1e-6);
            }
            for (index, a) in rectangles.iter().enumerate() {
                for b in &rectangles[index + 1..] {
                    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
                    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
                    prop_assert!(width < 1e-6 || height < 1e-6, "{a:?} {b:?}");
                }
            }
        }
    }
}
