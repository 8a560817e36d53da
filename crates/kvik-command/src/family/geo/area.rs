//! Circles, boxes and polygons on the earth: what is inside, and the cells that cover them.

use super::cell::{Cell, CellBounds, Direction, Point, Span};

const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the equator on the map that the grid divides, in metres.
const HALF_MAP: f64 = 20_037_726.37;
const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// The cells of a cover in the order they are searched: the one in the middle, then those around
/// it.
const AROUND: [Direction; 9] = [
    (0, 0),
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
];

/// A form of an area, in units of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AreaShape {
    Circle {
        radius: f64,
    },
    Box {
        width: f64,
        height: f64,
    },
    /// The vertices in order, in degrees.
    Polygon(Vec<Point>),
}

/// A shape around a point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) centre: Point,
    pub(super) shape: AreaShape,
    /// The metres of a unit.
    pub(super) unit: f64,
}

impl Area {
    /// How far a point is from the centre, if it is inside.
    pub(super) fn distance_inside(&self, point: Point) -> Option<f64> {
        let outside = match &self.shape {
            AreaShape::Circle { radius } => distance(self.centre, point) > radius * self.unit,
            AreaShape::Box { width, height } => {
                let beside = Point {
                    latitude: point.latitude,
                    ..self.centre
                };
                latitude_distance(point.latitude, self.centre.latitude) > height * self.unit / 2.0
                    || distance(point, beside) > width * self.unit / 2.0
            }
            AreaShape::Polygon(vertices) => !encloses(vertices, point),
        };
        (!outside).then(|| distance(self.centre, point))
    }

    /// Cells that everything inside is in, each once.
    pub(super) fn cover(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut steps = self.steps(bounds);
        let mut middle = Cell::around(self.centre, steps);
        if steps > 1 && !reaches(middle, bounds) {
            steps -= 1;
            middle = Cell::around(self.centre, steps);
        }
        let inside = middle.bounds();
        let needed = |&(east, north): &Direction| {
            steps < 2
                || !(north < 0 && inside.latitude.min < bounds.latitude.min
                    || north > 0 && inside.latitude.max > bounds.latitude.max
                    || east < 0 && inside.longitude.min < bounds.longitude.min
                    || east > 0 && inside.longitude.max > bounds.longitude.max)
        };
        let mut cells = Vec::with_capacity(AROUND.len());
        for direction in AROUND.iter().filter(|direction| needed(direction)) {
            let cell = middle.neighbour(*direction);
            // On a coarse grid the neighbours on both sides may be the same.
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    /// A rectangle of the map around it.
    fn bounds(&self) -> CellBounds {
        let Point {
            longitude,
            latitude,
        } = self.centre;
        let (width, height) = match &self.shape {
            AreaShape::Circle { radius } => (*radius, *radius),
            AreaShape::Box { width, height } => (width / 2.0, height / 2.0),
            AreaShape::Polygon(vertices) => return bounds_of(vertices),
        };
        let (width, height) = (self.unit * width, self.unit * height);
        let rows = height / EARTH_RADIUS / RADIANS;
        // The edge nearer to a pole has the longer part of its circle inside.
        let edge = if latitude < 0.0 {
            latitude - rows
        } else {
            latitude + rows
        };
        let columns = width / EARTH_RADIUS / (edge * RADIANS).cos() / RADIANS;
        CellBounds {
            longitude: span(longitude, columns),
            latitude: span(latitude, rows),
        }
    }

    /// The steps of cells that are about as large.
    fn steps(&self, bounds: CellBounds) -> u32 {
        let radius = match &self.shape {
            AreaShape::Circle { radius } => *radius,
            AreaShape::Box { width, height } => {
                let (width, height) = (width / 2.0, height / 2.0);
                (width * width + height * height).sqrt()
            }
            AreaShape::Polygon(_) => bounds.farthest_corner(self.centre),
        };
        let mut radius = radius * self.unit;
        if radius == 0.0 {
            return 26;
        }
        let mut steps = -1;
        // 26 and what the poles take off is as far as it matters.
        while radius < HALF_MAP && steps < 28 {
            radius *= 2.0;
            steps += 1;
        }
        // Towards the poles cells are narrower.
        let north = self.centre.latitude.abs();
        steps -= i32::from(north > 66.0) + i32::from(north > 80.0);
        steps.clamp(1, 26) as u32
    }
}

impl CellBounds {
    /// The metres from a point to the corner that is farthest away.
    fn farthest_corner(self, from: Point) -> f64 {
        let Self {
            longitude,
            latitude,
        } = self;
        let columns = [longitude.min, longitude.max];
        let corners = columns
            .iter()
            .flat_map(|&x| [latitude.min, latitude.max].map(|y| (x, y)));
        let distances = corners.map(|(longitude, latitude)| {
            let corner = Point {
                longitude,
                latitude,
            };
            distance(from, corner)
        });
        distances.fold(0.0, f64::max)
    }
}

/// A rectangle of the map around points.
fn bounds_of(points: &[Point]) -> CellBounds {
    let span = |degrees: fn(&Point) -> f64| {
        let all = points.iter().map(degrees);
        Span {
            min: all.clone().fold(f64::INFINITY, f64::min),
            max: all.fold(f64::NEG_INFINITY, f64::max),
        }
    };
    CellBounds {
        longitude: span(|point| point.longitude),
        latitude: span(|point| point.latitude),
    }
}

/// The point in whose direction the vertices of a polygon lie on the whole, as seen from the middle
/// of the earth.
pub(super) fn centroid(vertices: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for vertex in vertices {
        let (longitude, latitude) = (vertex.longitude * RADIANS, vertex.latitude * RADIANS);
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    Point {
        longitude: f64::atan2(y, x) / RADIANS,
        latitude: f64::atan2(z, (x * x + y * y).sqrt()) / RADIANS,
    }
}

/// Whether a ray along the parallel of a point crosses the edges of a polygon an odd number of
/// times (W. R. Franklin, PNPOLY).
fn encloses(vertices: &[Point], point: Point) -> bool {
    let previous = vertices
        .iter()
        .cycle()
        .skip(vertices.len().saturating_sub(1));
    let crossed = vertices.iter().zip(previous).filter(|(a, b)| {
        let rise = (b.longitude - a.longitude) * (point.latitude - a.latitude);
        (a.latitude > point.latitude) != (b.latitude > point.latitude)
            && point.longitude < rise / (b.latitude - a.latitude) + a.longitude
    });
    !crossed.count().is_multiple_of(2)
}

fn span(middle: f64, half: f64) -> Span {
    Span {
        min: middle - half,
        max: middle + half,
    }
}

/// Whether the cells around this one reach over all of a rectangle.
fn reaches(middle: Cell, bounds: CellBounds) -> bool {
    let beside = |direction| middle.neighbour(direction).bounds();
    !(beside((0, 1)).latitude.max < bounds.latitude.max
        || beside((0, -1)).latitude.min > bounds.latitude.min
        || beside((1, 0)).longitude.max < bounds.longitude.max
        || beside((-1, 0)).longitude.min > bounds.longitude.min)
}

fn latitude_distance(from: f64, to: f64) -> f64 {
    EARTH_RADIUS * (to * RADIANS - from * RADIANS).abs()
}

/// The metres between two points, along a great circle.
pub(super) fn distance(from: Point, to: Point) -> f64 {
    let sideways = ((to.longitude * RADIANS - from.longitude * RADIANS) / 2.0).sin();
    if sideways == 0.0 {
        return latitude_distance(from.latitude, to.latitude);
    }
    let (from, to) = (from.latitude * RADIANS, to.latitude * RADIANS);
    let upwards = ((to - from) / 2.0).sin();
    let square = upwards * upwards + from.cos() * to.cos() * sideways * sideways;
    2.0 * EARTH_RADIUS * square.sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(longitude: f64, latitude: f64, radius: f64) -> Area {
        let centre = Point {
            longitude,
            latitude,
        };
        Area {
            centre,
            shape: AreaShape::Circle { radius },
            unit: 1.0,
        }
    }

    #[test]
    fn a_cover_has_all_that_is_inside() {
        let places = [-170.0, -90.0, -13.4, 0.0, 0.1, 45.0, 177.0];
        for (longitude, latitude) in places
            .iter()
            .flat_map(|&x| [-60.0, -0.1, 20.0, 70.0].map(|y| (x, y)))
        {
            for radius in [1.0, 500.0, 70_000.0] {
                let area = circle(longitude, latitude, radius);
                let cells = area.cover();
                for (x, y) in [(0.9, 0.0), (-0.9, 0.0), (0.0, 0.9), (0.0, -0.9), (0.6, 0.6)] {
                    let point = Point {
                        longitude: longitude + x * radius / 111_200.0 / (latitude * RADIANS).cos(),
                        latitude: latitude + y * radius / 111_200.0,
                    };
                    assert!(area.distance_inside(point).is_some());
                    let score = Cell::of(point).score();
                    let covered = |cell: &Cell| (cell.score()..cell.end_score()).contains(&score);
                    assert!(cells.iter().any(covered), "{area:?} {point:?}");
                }
            }
        }
    }

    #[test]
    fn a_polygon_may_have_a_hollow() {
        let point = |longitude, latitude| Point {
            longitude,
            latitude,
        };
        let corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 1.0), (0.0, 4.0)];
        let vertices: Vec<_> = corners.iter().map(|&(x, y)| point(x, y)).collect();
        let area = Area {
            centre: centroid(&vertices),
            shape: AreaShape::Polygon(vertices),
            unit: 1.0,
        };
        for (inside, place) in [
            (true, point(1.0, 1.0)),
            (true, point(3.5, 2.5)),
            (false, point(2.0, 2.0)),
            (false, point(-1.0, 1.0)),
            (false, point(5.0, 1.0)),
        ] {
            assert_eq!(area.distance_inside(place).is_some(), inside, "{place:?}");
        }
        let score = Cell::of(point(3.5, 2.5)).score();
        let covered = |cell: &Cell| (cell.score()..cell.end_score()).contains(&score);
        assert!(area.cover().iter().any(covered));
    }

    #[test]
    fn covers_of_everything_have_no_cell_twice() {
        assert_eq!(circle(0.0, 0.0, 1e8).cover().len(), 4);
        assert_eq!(circle(0.0, 0.0, f64::INFINITY).cover().len(), 4);
        assert!(circle(10.0, 10.0, 0.0).cover().len() <= 4);
    }
}
