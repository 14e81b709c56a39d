"""The page: `data` selects what is embedded in it, `html` joins the data with the style and the script in `assets/`."""
