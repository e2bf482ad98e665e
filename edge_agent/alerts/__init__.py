"""The home of an alert: its crop and its row are on the disk before it is published."""
