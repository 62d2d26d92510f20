"""What can be drawn: icons, shapes, and the scenes made of them."""
