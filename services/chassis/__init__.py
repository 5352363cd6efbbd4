"""Machinery for I/O that all services stand on; it knows no business."""
