"""Color: sRGB and CIE Lab, the sRGB gamut, and the 313 color bins of Zhang et al. 2016."""
