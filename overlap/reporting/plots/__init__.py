"""The plots of reports, pictures and artifacts, and the style and fonts that they share."""
