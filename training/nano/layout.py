"""Geometry of lines on a page: how much two quads share, and in which order lines are read."""

import numpy as np


def clip(polygon, a, b):
    """The part of a convex polygon to the inner side of the edge a to b (clockwise on screen)."""
    def side(p):
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    out = []
    for i, p in enumerate(polygon):
        q = polygon[(i + 1) % len(polygon)]
        sp, sq = side(p), side(q)
        if sp >= 0:
            out.append(p)
        if (sp >= 0) != (sq >= 0):
            t = sp / (sp - sq)
            out.append((p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t))
    return out


def area(polygon):
    total = 0.0
    for i, (x, y) in enumerate(polygon):
        u, v = polygon[(i + 1) % len(polygon)]
        total += x * v - u * y
    return abs(total) / 2


def overlap(a, b):
    """The shared area of two convex quads over the smaller one's area."""
    polygon = [tuple(p) for p in a]
    for i in range(4):
        polygon = clip(polygon, tuple(b[i]), tuple(b[(i + 1) % 4]))
        if not polygon:
            return 0.0
    return area(polygon) / max(min(area([tuple(p) for p in a]), area([tuple(p) for p in b])), 1e-9)


def gaps(spans):
    """Empty stretches between intervals, as (start, end), in order."""
    found, reach = [], None
    for low, high in sorted(spans):
        if reach is not None and low > reach:
            found.append((reach, low))
        reach = high if reach is None else max(reach, high)
    return found


def reading_order(quads):
    """Indices of lines as a person reads them: columns left to right where the page has columns, else top to bottom.

    A recursive cut (Nagy and Seth, 1984) over the lines' middles: columns are parted by a gap wider than half a line
    is high that has two lines or more on either side; otherwise the page is parted at its widest horizontal gap.
    """
    boxes = []
    for quad in quads:
        quad = np.asarray(quad, np.float64)
        left, right = quad[:, 0].min(), quad[:, 0].max()
        inset = 0.2 * (quad[3] - quad[0] + quad[2] - quad[1])[1] / 2  # a strip reaches a little beyond its print
        aside = min(2 * inset, 0.25 * (right - left))
        boxes.append((left + aside, quad[:, 1].min() + inset, right - aside, quad[:, 1].max() - inset))
    heights = sorted(b[3] - b[1] for b in boxes)
    line_height = heights[len(heights) // 2] if heights else 0.0

    def order(items):
        if len(items) <= 1:
            return items
        for start, end in gaps([(boxes[i][0], boxes[i][2]) for i in items]):
            left = [i for i in items if boxes[i][2] <= start]
            right = [i for i in items if boxes[i][0] >= end]
            if end - start > 0.5 * line_height and len(left) >= 2 and len(right) >= 2:
                return order(left) + order(right)
        cuts = gaps([(boxes[i][1], boxes[i][3]) for i in items])
        if cuts:
            start, end = max(cuts, key=lambda g: g[1] - g[0])
            return order([i for i in items if boxes[i][3] <= start]) + order([i for i in items if boxes[i][1] >= end])
        rows = []
        for i in sorted(items, key=lambda i: (boxes[i][1] + boxes[i][3], boxes[i][0])):
            middle = (boxes[i][1] + boxes[i][3]) / 2
            if rows and middle <= boxes[rows[-1][0]][3]:
                rows[-1].append(i)
            else:
                rows.append([i])
        return [i for row in rows for i in sorted(row, key=lambda i: boxes[i][0])]

    return order(list(range(len(quads))))
