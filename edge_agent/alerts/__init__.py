"""The home of an alert: its crop and its row are on the disk before anybody is told of it."""
