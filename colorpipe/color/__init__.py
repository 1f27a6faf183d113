"""Color: sRGB and CIE Lab, the sRGB gamut, and the 313 ab bins of Zhang et al. 2016."""
